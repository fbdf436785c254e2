"""A plan from a demand: wide pass, choice under limits, rehearsal of a handful, reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.plan.choose import Search, search
from tokenworks.plan.confirm import confirmed
from tokenworks.plan.demand import Demand
from tokenworks.plan.describe import option
from tokenworks.plan.fronts import pareto
from tokenworks.plan.infeasible import relaxations
from tokenworks.plan.market import Market, Picks, needs_of, one_row, worth
from tokenworks.plan.notes import left_out, noted
from tokenworks.plan.points import points
from tokenworks.plan.refine.trials import market_with, refined
from tokenworks.plan.result import Option, Plan, Refinement
from tokenworks.plan.rounds import Say, Stop, Tried, go_on, overtaking, rehearsals
from tokenworks.plan.slower import with_lower_clocks
from tokenworks.plan.survey import market_of
from tokenworks.plan.why import binding, changes, first, tornado
from tokenworks.plan.widen import widened


def make_plan(demand: Demand, robust: bool = False, say: Say = lambda _: None, stop: Stop = lambda: False) -> Plan:
    """The plan; of an infeasible demand the ways out. ``stop`` breaks off with KeyboardInterrupt: half a plan is none.

    Raises InputError where nobody asks or nothing can serve.
    """
    market, notes = market_of(demand, robust, say)
    go_on(stop)
    say("choosing")
    full = market, search(market)
    market, found = with_lower_clocks(*full)
    if not found.feasible:
        market, found = widened(market, say)
        notes = (
            *notes,
            "engines' own settings keep the limits nowhere: searched with speculation and other token budgets",
        )
        go_on(stop)
    if not found.feasible:
        return _infeasible(market, found, notes, robust)
    tried, market, found = rehearsals(market, found, full, say, stop)
    settled = _settled(market, tried, say, stop)
    if more := overtaking(market, found, settled, say, stop):
        settled = _settled(market, [*settled, *more], say, stop)
    refinements: tuple[Refinement, ...] = ()
    if demand.run.refine and settled and settled[0][0].holds:
        refinements, settled, market, found = _refined(market, found, settled, say, stop)
    options = [option(market, trial, predicted) for trial, predicted in settled]
    return replace(_answer(market, found, options, notes, robust, say, stop), refined=refinements)


def _settled(market: Market, tried: Tried, say: Say, stop: Stop) -> Tried:
    """The fleets, the best first, its capacity confirmed by the twin: one that needs more workers may fall behind."""
    demand = market.demand
    for _ in range(len(tried)):
        tried = sorted(tried, key=lambda pair: (not pair[0].holds, *_values(demand, pair[0].figures)))
        if not tried or not tried[0][0].holds or tried[0][0].confirmed:
            break
        say("flooding the best fleet")
        go_on(stop)
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
    go_on(stop)
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
    return worth(demand, one_row(figures))[0].tolist()  # type: ignore[no-any-return]


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
