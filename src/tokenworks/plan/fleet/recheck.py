"""The answer of the programme held against the twin: every way that is used, at its largest number of units, rehearsed under
the demand's own workload; what does not carry its rate is believed less, and the programme solved again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tokenworks.errors import InputError
from tokenworks.plan.build import grown, layout
from tokenworks.plan.fleet.problem import Schedule
from tokenworks.plan.fleet.ways import Way
from tokenworks.plan.market import Market
from tokenworks.plan.trial import Stop, rehearsed

LESS = 0.9  # of the believed rate, after a rehearsal that missed an objective
LEAST = 0.3  # of what the wide pass says: what carries less is not offered
MOST_UNITS = 64  # rehearsed together: more of the same behave the same


@dataclass(frozen=True)
class Check:
    """One rehearsal of a way."""

    way: int
    units: int
    rate_s: float
    missed: tuple[tuple[str, float, float], ...]
    ttft_p95_s: float
    tpot_p95_s: float

    @property
    def holds(self) -> bool:
        return not self.missed


def used(schedule: Schedule) -> dict[int, int]:
    """Largest number of units, by way that is used."""
    most = schedule.units.max(axis=1)
    return {int(way): int(count) for way, count in enumerate(most) if count > 0}


def checked(
    market: Market, ways: tuple[Way, ...], derate: dict[tuple[int, int], float], wanted: dict[int, int],
    say: Callable[[str], None], stop: Stop,
) -> list[Check]:  # fmt: skip
    """Rehearsals of all ways that are wanted. Raises KeyboardInterrupt once ``stop`` says so."""
    found = []
    for number, (way, units) in enumerate(wanted.items()):
        say(f"rehearsing, {number} of {len(wanted)}")
        found.append(_one(market, way, ways[way], min(units, MOST_UNITS), derate, stop))
    return found


def _one(market: Market, number: int, way: Way, units: int, derate: dict[tuple[int, int], float], stop: Stop) -> Check:
    """Under as much of the demand as the programme gives these units."""
    unit = layout(market, way.service, way.row)
    share = derate.get((way.service, way.row), 1.0)
    whole = replace(grown(unit, units * unit.workers, units * unit.prefill_workers), rate_s=unit.rate_s * units * share)
    try:
        trial = rehearsed(market, (whole,), "roadmap", stop)
    except InputError as error:  # it cannot be built: named, and believed to carry nothing
        return Check(number, units, whole.rate_s, ((str(error), 0.0, 0.0),), 0.0, 0.0)
    s = trial.result.services[0]
    own = tuple(m for m in trial.missed if ": " in m[0])  # limits of the whole site are the programme's
    return Check(number, units, whole.rate_s, own, s.ttft.p95_s, s.tpot.p95_s)


def believed(
    checks: list[Check], ways: tuple[Way, ...], derate: dict[tuple[int, int], float]
) -> dict[tuple[int, int], float]:
    """Shares of their rates after these rehearsals: less where one missed, 0 where little is left."""
    found = dict(derate)
    for check in checks:
        key = (ways[check.way].service, ways[check.way].row)
        if not check.holds:
            left = found.get(key, 1.0) * LESS
            found[key] = left if left >= LEAST else 0.0
    return found
