"""A plan from a demand: wide pass, choice under limits, rehearsal of a handful, reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import Layout, layout
from tokenworks.plan.choose import Search, search
from tokenworks.plan.confirm import confirmed
from tokenworks.plan.demand import Demand
from tokenworks.plan.describe import option
from tokenworks.plan.fronts import pareto
from tokenworks.plan.handful import handful, other_degrees
from tokenworks.plan.infeasible import relaxations
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market, Picks, needs_of, worth
from tokenworks.plan.notes import left_out, noted
from tokenworks.plan.points import points
from tokenworks.plan.refine.trials import market_with, refined
from tokenworks.plan.result import Option, Plan, Refinement
from tokenworks.plan.slower import with_lower_clocks
from tokenworks.plan.survey import market_of
from tokenworks.plan.trial import Trial
from tokenworks.plan.why import binding, changes, first, tornado

SURVIVORS = 6
Say = Callable[[str], None]
Stop = Callable[[], bool]


def make_plan(demand: Demand, robust: bool = False, say: Say = lambda _: None, stop: Stop = lambda: False) -> Plan:
    """The plan; of an infeasible demand the ways out. ``stop`` breaks off with KeyboardInterrupt: half a plan is none.

    Raises InputError where nobody asks or nothing can serve.
    """
    market, notes = market_of(demand, robust, say)
    _go_on(stop)
    say("choosing")
    market, found = with_lower_clocks(market, search(market))
    if not found.feasible:
        return _infeasible(market, found, notes, robust)
    tried, market, found = _rehearsals(market, found, say, stop)
    settled = _settled(market, tried, say, stop)
    refinements: tuple[Refinement, ...] = ()
    if demand.run.refine and settled and settled[0][0].holds:
        refinements, settled, market, found = _refined(market, found, settled, say, stop)
    options = [option(market, trial, predicted) for trial, predicted in settled]
    return replace(_answer(market, found, options, notes, robust, say, stop), refined=refinements)


def _go_on(stop: Stop) -> None:
    if stop():
        raise KeyboardInterrupt


Tried = list[tuple[Trial, dict[str, float]]]  # rehearsed fleets, and what the wide pass said of each


def _rehearsals(market: Market, found: Search, say: Say, stop: Stop) -> tuple[Tried, Market, Search]:
    """Survivors rehearsed. Where the best did not hold as planned, the tails that were measured are put on the wide pass,
    and what is then best is rehearsed too; where nothing holds, the best of other degrees."""
    trials = _round(market, handful(market, found.picks, SURVIVORS), found.picks, say, stop)
    if not trials or (trials[0][0].attempts == 1 and trials[0][0].holds):
        return trials, market, found
    learnt = replace(market, tails=_tails(market, [trial for trial, _ in trials]))
    again = search(learnt)
    if again.feasible:
        more = _round(learnt, handful(learnt, again.picks, SURVIVORS // 2), again.picks, say, stop)
        trials, market, found = _with(trials, more), learnt, again
    if not any(trial.holds for trial, _ in trials):
        trials = _with(trials, _round(market, other_degrees(market, found.picks, SURVIVORS), found.picks, say, stop))
    return trials, market, found


def _with(trials: Tried, more: Tried) -> Tried:
    """Both, what is the same once."""
    known = {_names(trial) for trial, _ in trials}
    return trials + [pair for pair in more if _names(pair[0]) not in known]


def _names(trial: Trial) -> tuple[object, ...]:
    return tuple((one.kind, one.deployments, one.workers, one.prefill_workers) for one in trial.layouts)


def _settled(market: Market, tried: Tried, say: Say, stop: Stop) -> Tried:
    """The fleets, the best first, its capacity confirmed by the twin: one that needs more workers may fall behind."""
    demand = market.demand
    for _ in range(len(tried)):
        tried = sorted(tried, key=lambda pair: (not pair[0].holds, *_values(demand, pair[0].figures)))
        if not tried or not tried[0][0].holds or tried[0][0].confirmed:
            break
        say("flooding the best fleet")
        _go_on(stop)
        first_, predicted = tried[0]
        tried = [(confirmed(market, first_, f"{demand.name}-plan", stop), predicted), *tried[1:]]
    return sorted(tried, key=lambda pair: (not pair[0].holds, *_values(demand, pair[0].figures)))


def _refined(
    market: Market, found: Search, settled: Tried, say: Say, stop: Stop
) -> tuple[tuple[Refinement, ...], Tried, Market, Search]:
    """What was tried around the best; where something was kept, the market knows it too."""
    better, tries = refined(market, settled, f"{market.demand.name}-plan", say, stop)
    if any(r.kept for r in tries.done):
        market = market_with(market, tries)
        settled, found = _settled(market, better, say, stop), search(market)
    return tuple(tries.done), settled, market, found


def _round(market: Market, rows: list[int], picks: Picks, say: Say, stop: Stop) -> Tried:
    done = []
    for number, row in enumerate(rows):
        say(f"rehearsing, {number} of {len(rows)} fleets")
        _go_on(stop)
        trial = adjusted(market, _layouts(market, picks, row), f"{market.demand.name}-plan", stop)
        if trial is not None:
            done.append((trial, {name: float(values[row]) for name, values in picks.columns.items()}))
    return done


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


def _answer(
    market: Market, found: Search, tried: list[Option], notes: tuple[str, ...], robust: bool, say: Say, stop: Stop
) -> Plan:
    demand = market.demand
    held, rest = [o for o in tried if not o.missed], [o for o in tried if o.missed]
    if not held:
        said = "; ".join(f"{o.text}: {', '.join(what for what, _, _ in o.missed)}" for o in rest[:3])
        notes = (*notes, f"the wide pass found fleets that the twin does not confirm: {said}")
        return replace(_infeasible(market, found, notes, robust), tried=tuple(rest))
    say("asking why")
    _go_on(stop)
    front = _front(demand, held) if len(demand.objectives) > 1 else ()
    best, picks, before = held[0], found.picks, first(market, found)
    runner = next((o for o in held[1:] if _hardware(o) != _hardware(best)), None)
    top = Picks(picks.rows[:1], {name: values[:1] for name, values in picks.columns.items()})
    return Plan(
        demand.name, demand.objectives, robust, best, front, tuple(held + rest), runner,
        binding(market, needs_of(market, top), before), tornado(market, picks), changes(market, before), (), (), False,
        points(market), sum(len(t) for t in market.tables), sum(len(s.shapes) for s in market.spaces),
        left_out(market), found.exact, found.gap, noted(market, notes, best),
    )  # fmt: skip


def _hardware(o: Option) -> tuple[object, ...]:
    return tuple((s.system, s.pay, s.mode, s.degrees) for s in o.setups)


def _values(demand: Demand, figures: dict[str, float]) -> list[float]:
    return worth(demand, {name: np.array([value]) for name, value in figures.items()})[0].tolist()  # type: ignore[no-any-return]


def _front(demand: Demand, options: list[Option]) -> tuple[Option, ...]:
    """Of what was rehearsed, what no other beats in every objective."""
    return tuple(options[i] for i in pareto(np.array([_values(demand, o.figures) for o in options])))


def _infeasible(market: Market, found: Search, notes: tuple[str, ...], robust: bool) -> Plan:
    ways, clash, alone = relaxations(market, found)
    return Plan(
        market.demand.name, market.demand.objectives, robust, None, (), (), None, (), (), (), ways, clash, alone, points(market),
        sum(len(t) for t in market.tables), sum(len(s.shapes) for s in market.spaces), left_out(market),
        found.exact, found.gap, noted(market, notes),
    )  # fmt: skip
