"""Fleets of the wide pass rehearsed, until one holds or nothing is left to try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import Layout, layout
from tokenworks.plan.choose import Search, search
from tokenworks.plan.handful import handful, other_degrees
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market, Picks, one_row, worth
from tokenworks.plan.refine.rescue import rescued
from tokenworks.plan.refine.trials import BETTER
from tokenworks.plan.trial import Trial
from tokenworks.plan.widen import widened

SURVIVORS = 6
OVERTAKERS, LOOKED_AT = 4, 16  # fleets of other degrees that are rehearsed once the best has disappointed, of how many
Say = Callable[[str], None]
Stop = Callable[[], bool]
Start = tuple[Market, Search]
Tried = list[tuple[Trial, dict[str, float]]]  # rehearsed fleets, and what the wide pass said of each


def go_on(stop: Stop) -> None:
    """Raises KeyboardInterrupt where ``stop`` says so."""
    if stop():
        raise KeyboardInterrupt


def rehearsals(market: Market, found: Search, full: Start, say: Say, stop: Stop) -> tuple[Tried, Market, Search]:
    """Survivors rehearsed; where nothing holds, those at full clock (``full``: the market before lower clocks were laid out,
    what was found there); then replicas with speculation and other token budgets; then other routing and KV tiers."""
    start = full if full[1].feasible else (market, found)
    trials, learnt, market, found = _rounds(market, found, say, stop)
    if not _holds(trials) and len(start[0].tables[0]) < len(market.tables[0]):
        more, learnt, market, found = _rounds(*start, say, stop)
        trials = _with(trials, more)
    if not _holds(trials):
        trials, market, found = _wider(trials, learnt, market, found, say, stop)
    if not _holds(trials):
        trials = trials + _rescued(*start, say, stop)
    return trials, market, found


def _rounds(market: Market, found: Search, say: Say, stop: Stop) -> tuple[Tried, Market, Market, Search]:
    """The best of every way. Where the first did not hold as planned, the tails that were measured are put on the wide pass,
    and what is then best is rehearsed too; where nothing holds the best of other degrees. With the market under these tails."""
    trials = _round(market, handful(market, found.picks, SURVIVORS), found.picks, say, stop)
    if not trials or (trials[0][0].attempts == 1 and trials[0][0].holds):
        return trials, market, market, found
    learnt = replace(market, tails=_tails(market, [trial for trial, _ in trials]))
    again = search(learnt)
    if again.feasible:
        more = _round(learnt, handful(learnt, again.picks, SURVIVORS // 2), again.picks, say, stop)
        trials, market, found = _with(trials, more), learnt, again
    if not _holds(trials):
        trials = _with(trials, _round(market, other_degrees(market, found.picks, SURVIVORS), found.picks, say, stop))
    return trials, learnt, market, found


def _wider(
    trials: Tried, learnt: Market, market: Market, found: Search, say: Say, stop: Stop
) -> tuple[Tried, Market, Search]:
    """With the best of what speculation and other token budgets make possible under the tails that were measured."""
    more, again = widened(learnt, say)
    if not again.feasible:
        return trials, market, found
    rows = handful(more, again.picks, SURVIVORS)
    rows += [row for row in other_degrees(more, again.picks, SURVIVORS) if row not in rows]
    new = _round(more, rows, again.picks, say, stop)
    return _with(trials, new), *((more, again) if _holds(new) else (market, found))


def _rescued(market: Market, found: Search, say: Say, stop: Stop) -> Tried:
    """The first of the survivors, as planned before the twin added workers, that other routing or KV tiers make hold."""
    for row in handful(market, found.picks, SURVIVORS):
        say("nothing holds in the twin: trying routing and KV tiers")
        go_on(stop)
        trial = rescued(market, _layouts(market, found.picks, row), f"{market.demand.name}-plan", stop)
        if trial is not None:
            return [(trial, _said(found.picks, row))]
    return []


def overtaking(market: Market, found: Search, settled: Tried, say: Say, stop: Stop) -> Tried:
    """Fleets of other degrees that the wide pass puts before what the best came to in the twin, rehearsed too: where whole
    systems are dear, one that is planned a little worse may need none more. Nothing where the best came out as planned."""
    if not settled or not settled[0][0].holds:
        return []
    best = float(worth(market.demand, one_row(settled[0][0].figures))[0, 0])
    planned = worth(market.demand, found.picks.columns)[:, 0]
    before = [row for row in other_degrees(market, found.picks, LOOKED_AT) if planned[row] < best - BETTER * abs(best)]
    known = {_degrees(trial.layouts) for trial, _ in settled}
    rows = [row for row in before if _degrees(_layouts(market, found.picks, row)) not in known]
    return _with(settled, _round(market, rows[:OVERTAKERS], found.picks, say, stop))[len(settled) :]


def _degrees(layouts: Sequence[Layout]) -> tuple[object, ...]:
    return tuple((one.kind, *((d.tp, d.pp, d.dp, d.ep) for d in one.deployments)) for one in layouts)


def _holds(trials: Tried) -> bool:
    return any(trial.holds for trial, _ in trials)


def _with(trials: Tried, more: Tried) -> Tried:
    """Both, what is the same once."""
    known = {_names(trial) for trial, _ in trials}
    return trials + [pair for pair in more if _names(pair[0]) not in known]


def _names(trial: Trial) -> tuple[object, ...]:
    return tuple((one.kind, one.deployments, one.workers, one.prefill_workers) for one in trial.layouts)


def _round(market: Market, rows: list[int], picks: Picks, say: Say, stop: Stop) -> Tried:
    done = []
    for number, row in enumerate(rows):
        say(f"rehearsing, {number} of {len(rows)} fleets")
        go_on(stop)
        trial = adjusted(market, _layouts(market, picks, row), f"{market.demand.name}-plan", stop)
        if trial is not None:
            done.append((trial, _said(picks, row)))
    return done


def _said(picks: Picks, row: int) -> dict[str, float]:
    """What the wide pass says of a fleet."""
    return {name: float(values[row]) for name, values in picks.columns.items()}


def _layouts(market: Market, picks: Picks, row: int) -> list[Layout]:
    return [layout(market, i, int(picks.rows[row, i])) for i in range(len(market.tables))]


def _tails(market: Market, trials: list[Trial]) -> tuple[Tails, ...]:
    """Measured 95th percentiles over the means of the wide pass: the median over the trials, never below 1."""
    found = []
    for i in range(len(market.spaces)):
        pairs = [(t.layouts[i], t.result.services[i]) for t in trials]
        ttft = float(np.median([s.ttft.p95_s / one.ttft_s for one, s in pairs]))
        tpot = float(np.median([s.tpot.p95_s / one.tpot_s if one.tpot_s else 1.0 for one, s in pairs]))
        found.append(Tails(*(max(1.0, v) if np.isfinite(v) else 1.0 for v in (ttft, tpot))))
    return tuple(found)
