"""How well the fitted agent foretells sessions that it was not fitted on: fit one half, compare with the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks.workload.agents.fit import fit
from tokenworks.workload.agents.fitted import grow_fitted
from tokenworks.workload.agents.goodness import distances, of_calls, of_recording
from tokenworks.workload.agents.ratios import Ratios
from tokenworks.workload.agents.recording import Ints, Recording
from tokenworks.workload.agents.tables import Fitted

RUNS_PER_SESSION = 4  # generated for each recorded one


@dataclass(frozen=True)
class HeldOut:
    """One split. Distances are Kolmogorov-Smirnov's, by quantity."""

    generated: dict[str, float]  # from a fit of one half to the other half
    halves: dict[str, float]  # between the two recorded halves: what sampling alone does
    recorded: Ratios  # input per output of the sessions held out
    foretold: Ratios


def of_sessions(r: Recording, chosen: Ints) -> Recording:
    """The recording of some sessions, numbered anew in their order."""
    kept = np.sort(chosen)
    place = np.full(len(r.trace), -1)
    place[kept] = np.arange(len(kept))
    rows, subs = place[r.session] >= 0, place[r.sub_session] >= 0
    by_row: tuple[str, ...] = (
        "agent",
        "start_s",
        "streaming",
        "model",
        "stop",
        "input_tokens",
        "cache_read",
        "output_tokens",
    )
    by_row += ("api_s", "think_s", "ttft_s")
    return replace(
        r,
        session=place[r.session][rows],
        **{name: getattr(r, name)[rows] for name in by_row},
        **{name: getattr(r, name)[kept] for name in ("trace", "tool_tokens", "system_tokens")},
        sub_session=place[r.sub_session][subs],
        **{name: getattr(r, name)[subs] for name in ("sub_noted_s", "sub_duration_s")},
    )


def halves(r: Recording, seed: int) -> tuple[Recording, Recording]:
    """Two halves of the sessions, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(r.trace))
    middle = len(order) // 2
    return of_sessions(r, order[:middle]), of_sessions(r, order[middle:])


def hold_out(r: Recording, seed: int) -> HeldOut:
    """One split by ``seed``, which also draws the generated sessions."""
    known, other = halves(r, seed)
    made = of_calls(grow_fitted(Fitted(fit(known)), seed, range(RUNS_PER_SESSION * len(other.trace))))
    truth = of_recording(other)
    return HeldOut(distances(truth, made), distances(truth, of_recording(known)), truth.ratios(), made.ratios())
