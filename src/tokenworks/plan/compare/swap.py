"""Which part of the file makes the difference: parts are exchanged in every combination, each rehearsed.

The parts are site, systems, services, workload and run; of k that differ, 2^k factories are rehearsed. A part's share is
its Shapley share: the mean of what it adds over all orders of exchanging. Where a mixture cannot be built (the other factory's
racks need a cooling that this one's site lacks), its parts are taken together with the fewest others that make it possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

from tokenworks.errors import CatalogError, InputError
from tokenworks.plan.compare.shapley import shapley, subsets
from tokenworks.plan.sweep.figures import IMPOSSIBLE, Row, figures
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import as_dict
from tokenworks.twin.spread import Crew, Stop, spread

PARTS = ("site", "systems", "services", "workload", "run")
COMPARED = ("usd_per_mtok", "tokens_per_j", "output_tokens_s", "facility_w")
Parts = frozenset[str]


@dataclass(frozen=True)
class Swapped:
    """Shares of the change of each figure by group of parts, and how often the twin ran for it."""

    shares: Mapping[str, Mapping[str, float]]  # figure → "systems + services" → part of the change
    rehearsals: int
    together: tuple[str, ...] = field(default=())  # reasons why parts were taken together


def differing(before: Factory, after: Factory) -> list[str]:
    """Parts that are not equal."""
    one, other = as_dict(before), as_dict(after)
    return [part for part in PARTS if one.get(part) != other.get(part)]


def swapped(
    before: Factory, after: Factory, crew: Crew, say: Callable[[str], None] = lambda _: None, stop: Stop = lambda: False
) -> Swapped | None:
    """None where fewer than two parts differ, or where ``stop`` said so."""
    groups = [frozenset({part}) for part in differing(before, after)]
    if len(groups) < 2:
        return None
    rows: dict[Parts, Row] = {}
    reasons = list[str]()
    while True:
        names = {label(group): group for group in groups}
        wanted = [_joined(names, chosen) for chosen in subsets(list(names))]
        left = [parts for parts in wanted if parts not in rows]
        for number, row in spread(partial(_mixed, before, after), left, crew, stop):
            rows[left[number]] = row
            say(f"exchanged parts in {len(rows)} of {len(wanted)} ways")
        if stop():
            return None
        failed = [parts for parts in wanted if rows[parts]["state"] == IMPOSSIBLE]
        if not failed:
            break
        reasons.append(f"{label(failed[0])} of the other factory alone: {rows[failed[0]]['reason'].partition('. ')[0]}")
        groups = _coarser(groups, failed[0], rows)
    worth = {figure: {parts: float(rows[parts][figure]) for parts in wanted} for figure in COMPARED}
    shares = {figure: shapley(list(names), partial(_worth, worth[figure], names)) for figure in COMPARED}
    return Swapped(shares, len(rows), tuple(reasons))


def _worth(values: Mapping[Parts, float], names: Mapping[str, Parts], chosen: frozenset[str]) -> float:
    return values[_joined(names, chosen)]


def label(parts: Parts) -> str:
    return " + ".join(part for part in PARTS if part in parts) or "nothing"


def _joined(names: Mapping[str, Parts], chosen: frozenset[str]) -> Parts:
    return frozenset().union(*(names[name] for name in chosen))


def _coarser(groups: list[Parts], failed: Parts, rows: Mapping[Parts, Row]) -> list[Parts]:
    """The groups of a smallest mixture that cannot be built together with the fewest others that make it one."""
    others = [group for group in groups if not group <= failed]
    wider = (failed.union(*more) for size in range(1, len(others) + 1) for more in combinations(others, size))
    merged = next(parts for parts in wider if rows[parts]["state"] != IMPOSSIBLE)
    left = [merged, *(group for group in groups if not group <= merged)]
    return sorted(left, key=lambda group: min(PARTS.index(part) for part in group))


def _mixed(before: Factory, after: Factory, parts: Parts) -> Row:
    """The first factory with some parts of the second, rehearsed."""
    theirs = as_dict(after)
    try:
        mixed = before.replace_all({part: theirs.get(part, {}) for part in PARTS if part in parts})
        return figures(rehearse(mixed, idleness=False).result)
    except (InputError, CatalogError) as error:
        return {
            "state": IMPOSSIBLE,
            "reason": str(error).splitlines()[0].partition("  ")[2] or str(error).splitlines()[0],
        }
