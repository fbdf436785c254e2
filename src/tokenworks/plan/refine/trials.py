"""One setting after the other around the best fleets, each rehearsed, kept only where the objective gets better under the
same limits and the twin sustains the load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tokenworks.errors import TokenworksError
from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import Layout
from tokenworks.plan.candidates import Space
from tokenworks.plan.confirm import confirmed
from tokenworks.plan.demand import Demand
from tokenworks.plan.market import Market, one_row, worth
from tokenworks.plan.refine.small import Predicted, best_with, joined, space_with
from tokenworks.plan.refine.variants import Variant, knobs
from tokenworks.plan.result import Refinement
from tokenworks.plan.trial import LIVES, Trial, rehearsed

BASES = 2  # fleets around which settings are tried
WITHIN = 2.0  # times the best: a fleet further behind is not refined
MOST = 24  # settings that are tried in all
BETTER = 1e-3  # share by which an objective must get better
Pair = tuple[Trial, Predicted]
Say = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass
class Tries:
    """What was tried so far, and replicas of what was kept."""

    market: Market
    name: str
    stop: Stop
    done: list[Refinement] = field(default_factory=list)
    spaces: list[tuple[int, Space]] = field(default_factory=list)  # (service, its new replicas)


def refined(market: Market, tried: Sequence[Pair], name: str, say: Say, stop: Stop) -> tuple[list[Pair], Tries]:
    """The fleets, those that could be refined in place of what they were made of."""
    tries = Tries(market, name, stop)
    done = list(tried)
    for at in _bases(market.demand, tried):
        say(f"refining, {len(tries.done)} settings tried")
        done[at] = _around(tries, done[at])
    return done, tries


def market_with(market: Market, tries: Tries) -> Market:
    """The market with the replicas of what was kept, so that reasons are asked about them too."""
    if not tries.spaces:
        return market
    spaces = list(market.spaces)
    for service, space in tries.spaces:
        spaces[service] = joined(spaces[service], space)
    return replace(market, spaces=tuple(spaces)).laid()


def _bases(demand: Demand, tried: Sequence[Pair]) -> list[int]:
    """Of the fleets that hold, sorted, the first few of other hardware or way that are not too far behind."""
    ways: dict[tuple[object, ...], int] = {}
    for i, (trial, _) in enumerate(tried):
        if trial.holds:
            ways.setdefault(tuple((one.kind, one.mode) for one in trial.layouts), i)
    held = list(ways.values())[:BASES]
    values = [float(_values(demand, tried[i][0])[0]) for i in held]
    return [i for i, v in zip(held, values, strict=True) if v - values[0] <= (WITHIN - 1) * abs(values[0])]


def _around(tries: Tries, given: Pair) -> Pair:
    """The fleet with what was kept. It was rehearsed shortly: if it is the answer, it is confirmed again for as long as its
    file runs."""
    now = given
    if not now[0].confirmed:
        now = (confirmed(tries.market, now[0], tries.name, tries.stop, LIVES), now[1])
    before = now[0]
    for service in range(len(now[0].layouts)):
        for number in range(len(_knobs(tries.market, now[0].layouts[service]))):
            now = _turned(tries, now, service, number)
    return given if now[0] is before else (replace(now[0], confirmed=False), now[1])


def _knobs(market: Market, one: Layout) -> list[tuple[Variant, ...]]:
    return list(knobs(market.spaces[one.service].asked, one, market.prices[one.kind].kind.entry))


def _turned(tries: Tries, now: Pair, service: int, number: int) -> Pair:
    """The best of a knob's values, or what stood before."""
    base, chosen = now, None
    for variant in _knobs(tries.market, base[0].layouts[service])[number]:
        if len(tries.done) >= MOST or not now[0].holds:
            break
        if tries.stop():
            raise KeyboardInterrupt
        after, predicted, said = _tried(tries, base[0], now[0], service, variant)
        tries.done.append(_record(tries.market, base[0], now[0], service, variant, after, said))
        if not said and after is not None:
            now, chosen = (after, predicted), variant
    if chosen is not None and _other_replicas(base[0].layouts[service], chosen):
        tries.spaces.append((service, space_with(tries.market, base[0].layouts[service], chosen)))
    return now


def _other_replicas(one: Layout, variant: Variant) -> bool:
    """Whether the wide pass sees a difference."""
    bare = lambda d: d and replace(d, tiers=())  # noqa: E731
    same = bare(variant.main) == bare(one.main) and bare(variant.prefill) == bare(one.prefill)
    return variant.draft is not None or not same


def _tried(
    tries: Tries, base: Trial, now: Trial, service: int, variant: Variant
) -> tuple[Trial | None, Predicted, str]:
    """(the fleet with the setting, what the wide pass says of it, why it is not kept; "": it is better and holds)."""
    market, one, predicted = tries.market, base.layouts[service], Predicted()
    try:
        made = best_with(market, one, space_with(market, one, variant), variant.routing)
        if made is None:
            return None, predicted, "nothing keeps the limits by the wide pass"
        layouts, predicted = [made[0] if i == service else other for i, other in enumerate(base.layouts)], made[1]
        trial = rehearsed(market, layouts, tries.name, tries.stop)
    except TokenworksError as error:
        return None, predicted, str(error)
    if _better(market.demand, trial, now) and not trial.holds:
        trial = adjusted(market, layouts, tries.name, tries.stop) or trial
    if _better(market.demand, trial, now) and trial.holds:
        trial = confirmed(market, trial, tries.name, tries.stop, LIVES)
    if not _better(market.demand, trial, now):
        return trial, predicted, "no better"
    return trial, predicted, ", ".join(f"misses {what}" for what, _, _ in trial.missed)


def _values(demand: Demand, trial: Trial) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(worth(demand, one_row(trial.figures))[0])


def _better(demand: Demand, new: Trial, old: Trial) -> bool:
    """In no objective worse, in one better by more than `BETTER`."""
    a, b = _values(demand, new), _values(demand, old)
    return bool((a <= b + 1e-9 * np.abs(b)).all() and (a < b - BETTER * np.abs(b)).any())


def _record(
    market: Market, base: Trial, now: Trial, service: int, variant: Variant, after: Trial | None, said: str
) -> Refinement:
    name = market.demand.objectives[0]
    counts = " and ".join(f"{count} × {system}" for system, count in base.systems().items())
    return Refinement(
        f"{counts}, {base.layouts[service].mode}",
        market.spaces[service].asked.service.name,
        variant.text,
        now.figures[name],
        None if after is None else after.figures[name],
        not said,
        said,
    )
