"""An agent by its name: where its runs come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from tokenworks.catalog import loader
from tokenworks.spec.agents import RECORDED
from tokenworks.workload.agents.calls import APART, Calls, joined_calls
from tokenworks.workload.agents.fitted import grow_fitted
from tokenworks.workload.agents.fitted_rows import PHASES
from tokenworks.workload.agents.grow import grow
from tokenworks.workload.agents.layout import Layout, layout_of
from tokenworks.workload.agents.recorded_calls import recorded_calls
from tokenworks.workload.agents.recording import SUMS
from tokenworks.workload.agents.tables import fitted_ids, load_fitted
from tokenworks.workload.agents.template import KIND, Phase

Runs = Callable[[int, range, int], Calls]  # (seed, runs, number of the workload) → their calls


def runs_of(name: str) -> Runs:
    """Makes runs of an agent of the catalogue, or plays the recorded sessions over and over. Raises InputError for an
    unknown name."""
    if name == RECORDED:
        return _recorded
    if loader.load(KIND, name).id in fitted_ids():
        fitted = load_fitted(name)
        return lambda seed, runs, number: grow_fitted(fitted, seed, runs, number)
    layout = layout_of(name)
    return lambda seed, runs, number: grow(layout, seed, runs, number)


def phases_of(name: str) -> tuple[Phase, ...]:
    """What ``Calls.phase`` counts."""
    return PHASES if name == RECORDED or name in fitted_ids() else layout_of(name).template.phases


def calls_per_run(name: str) -> float:
    """Calls of a run in the mean, attempts that fail among them; of a fitted agent those of the recording."""
    if name == RECORDED or name in fitted_ids():
        return SUMS.requests / SUMS.sessions
    return float(_attempts(layout_of(name)))


def _attempts(layout: Layout) -> Fraction:
    given_up, retry, n = layout.template.abandoned, layout.template.retry, len(layout)
    tries = [Fraction(1) if failed else 1 + retry for failed in layout.failed]
    return sum(((1 - given_up + given_up * Fraction(n - i, n)) * t for i, t in enumerate(tries)), Fraction(0))


def _recorded(seed: int, runs: range, number: int) -> Calls:
    """Run k is session k, from the first again after the last; nothing is drawn."""
    calls, edges = recorded_calls(), _edges()
    parts = []
    for run in runs:
        session = run % SUMS.sessions
        rows = slice(int(edges[session]), int(edges[session + 1]))
        waits = slice(int(calls.before_start[rows.start]), int(calls.before_start[rows.stop]))
        columns = {f.name: getattr(calls, f.name)[rows] for f in fields(Calls) if f.name not in APART}
        part = Calls(
            **columns,
            before_start=calls.before_start[rows.start : rows.stop + 1] - waits.start,
            before=calls.before[waits] - rows.start,
        )
        parts.append(replace(part, run=np.full(len(part), run, np.int64)))
    return joined_calls(parts)


@lru_cache(maxsize=1)
def _edges() -> np.typing.NDArray[np.int64]:
    return np.searchsorted(recorded_calls().run, np.arange(SUMS.sessions + 1))
