"""As many workers as objectives need: more by how far one is missed, then fewer again by halves. Goodput fills its limits from
the beginning: there it is the rate that is lowered instead, and raised again by halves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from tokenworks.errors import InputError
from tokenworks.events.results import ServiceResult
from tokenworks.plan.build import Layout, grown
from tokenworks.plan.market import Market
from tokenworks.plan.trial import LIVES, Trial, rehearsed

ATTEMPTS = 4  # layouts of one survivor
HALVES = 2  # steps back from one that holds towards one that does not
MOST_GROWTH = 1.6  # of a pool from one attempt to the next
Stop = Callable[[], bool]


def adjusted(
    market: Market, layouts: Sequence[Layout], name: str, stop: Stop = lambda: False, lives: float = LIVES
) -> Trial | None:
    """The layout with as many workers as objectives need, within the limits: more by how far an objective is missed, then
    fewer again by halves, as far as they hold. The last attempt where none holds; None where it cannot be built at all."""
    last: Trial | None = None
    now, before = tuple(layouts), tuple(layouts)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            last = replace(rehearsed(market, now, name, stop, lives), attempts=attempt)
        except InputError:
            return last
        if last.holds:
            return _fewer(market, before, last, name, stop, lives)
        if not any(": " in what for what, _, _ in last.missed):
            return last
        before, now = now, tuple(_more(market, one, s, last) for one, s in zip(now, last.result.services, strict=True))
    return last


def _fewer(market: Market, short: tuple[Layout, ...], enough: Trial, name: str, stop: Stop, lives: float) -> Trial:
    """Between layouts that are too few and a trial that holds: halves, at most `HALVES` of them."""
    for _ in range(HALVES):
        middle = tuple(_between(a, b) for a, b in zip(short, enough.layouts, strict=True))
        if middle in (short, enough.layouts):
            break
        trial = replace(rehearsed(market, middle, name, stop, lives), attempts=enough.attempts + 1)
        if trial.holds:
            enough = trial
        else:
            short, enough = middle, replace(enough, attempts=trial.attempts)
    return enough


def _between(a: Layout, b: Layout) -> Layout:
    workers, prefill = ((x + y) // 2 for x, y in ((a.workers, b.workers), (a.prefill_workers, b.prefill_workers)))
    return replace(grown(b, workers, prefill), rate_s=math.sqrt(a.rate_s * b.rate_s))


def eased(market: Market, one: Layout, main: float, prefill: float) -> Layout:
    """With so many times the workers in each pool; of goodput at so much less than its rate."""
    if "goodput" in market.demand.objectives:
        return replace(one, rate_s=one.rate_s / max(main, prefill))
    return grown(one, _grow(one.workers, main), _grow(one.prefill_workers, prefill) if one.prefill else 0)


def _more(market: Market, one: Layout, s: ServiceResult, trial: Trial) -> Layout:
    """More workers of the pool that misses its objective, by how far it does."""
    over = {what.partition(": ")[2]: measured / limit for what, measured, limit in trial.missed
            if what.startswith(f"{s.name}: ") and limit}  # fmt: skip
    if not over:
        return one
    ratio = lambda name: min(MOST_GROWTH, max(1.0, over.get(name, 1.0)))  # noqa: E731
    every = max(ratio(name) for name in over) if not one.prefill else max(ratio("E2E p95"), ratio("load over capacity"))
    main = every if not one.prefill else max(every, ratio("TPOT p95"))
    return eased(market, one, main, max(every, ratio("TTFT p95")) if one.prefill else 1.0)


def _grow(count: int, factor: float) -> int:
    """At least one more where it must grow."""
    return count if factor <= 1 else max(count + 1, math.ceil(count * factor))
