"""What a change of one field would do: the changed factory is rehearsed too, on the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokenworks.events.results import RunResult, WhatIf
from tokenworks.rehearsal.metering import Metered, ended_runs, of_runs
from tokenworks.rehearsal.play import NothingDoneError, Stop
from tokenworks.rehearsal.run import Rehearsal, rehearse
from tokenworks.spec.factory import Factory


def what_ifs(
    factory: Factory,
    base: RunResult,
    changes: Sequence[tuple[str, str]],
    progress: Callable[[str], None],
    stop: Stop = lambda: False,
    meters: Metered | None = None,
) -> tuple[WhatIf, ...]:
    """One per (path, value). A workload scaled to a share of the sustainable rate is scaled to the new rate's share.
    ``meters``: of the base, where agents ask; what a run costs is then compared, too.

    Once ``stop`` says so, those that are done are all.

    Raises SpecError for a path or value that does not exist, before anything is rehearsed.
    """
    changed = [factory.replace(path, value) for path, value in changes]
    found = []
    for number, ((path, value), other) in enumerate(zip(changes, changed, strict=True), 1):
        progress(f"what if {path}={value}: {number - 1} of {len(changes)}")
        done = _rehearsed(other, stop)
        if done is None:
            break
        moved = agent_effects(meters, done.metered) if meters and done.metered else ()
        found.append(WhatIf(f"{path} = {value}", moved + effects(base, done.result)))
    return tuple(found)


def agent_effects(base: Metered, other: Metered) -> tuple[tuple[str, float], ...]:
    """Relative changes of the dollars per run and of the amplification, of the runs that ended in both: a slower factory
    ends the short ones first."""
    both = set(ended_runs(base.usage)["root_run"].to_pylist()) & set(ended_runs(other.usage)["root_run"].to_pylist())
    pairs = zip(("$/run", "TAF"), of_runs(base.usage, both), of_runs(other.usage, both), strict=True)
    return tuple((name, after / before - 1) for name, before, after in pairs if before > 0 and after > 0)


def _rehearsed(factory: Factory, stop: Stop) -> Rehearsal | None:
    """The rehearsal, none where it was cut short."""
    if stop():
        return None
    try:
        done = rehearse(factory, stop=stop)
    except NothingDoneError:
        return None
    return None if done.result.interrupted else done


def effects(base: RunResult, other: RunResult) -> tuple[tuple[str, float], ...]:
    """Relative changes of the figures that people compare, by service those that exist in both. An overloaded service
    has no steady latencies to compare."""
    pairs = [
        ("$/Mtok", base.usd_per_mtok.value, other.usd_per_mtok.value),
        ("output tokens/s", base.output_tokens_s.value, other.output_tokens_s.value),
    ]
    for a in base.services:
        b = next((s for s in other.services if s.name == a.name), None)
        if b is None:
            continue
        prefix = f"{a.name} " if len(base.services) > 1 else ""
        pairs.append((f"{prefix}sustains", a.sustainable_requests_s, b.sustainable_requests_s))
        if not (a.saturated or b.saturated):
            pairs.append((f"{prefix}TTFT p95", a.ttft.p95_s, b.ttft.p95_s))
            pairs.append((f"{prefix}TPOT p95", a.tpot.p95_s, b.tpot.p95_s))
    pairs.append(("tokens/J", base.tokens_per_j_facility, other.tokens_per_j_facility))
    pairs.append(("peak power", base.peak_power_w, other.peak_power_w))
    return tuple((name, after / before - 1) for name, before, after in pairs if before > 0 and after > 0)
