"""A roadmap made: the programme solved, its ways rehearsed in the twin, solved again until every way carries its rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.plan.demand import Demand
from tokenworks.plan.fleet.coefficients import problem_of, units_of
from tokenworks.plan.fleet.file import Roadmap, month_text
from tokenworks.plan.fleet.linear import NoScheduleError
from tokenworks.plan.fleet.problem import Problem, Schedule
from tokenworks.plan.fleet.programme import solve
from tokenworks.plan.fleet.recheck import Check, believed, checked, used
from tokenworks.plan.fleet.ways import Way
from tokenworks.plan.market import Market
from tokenworks.plan.survey import market_of
from tokenworks.plan.trial import Stop

ROUNDS = 12  # of solving and rehearsing


@dataclass(frozen=True)
class Made:
    """A roadmap with everything that it rests on."""

    roadmap: Roadmap
    demand: Demand
    market: Market  # with tables of units
    problem: Problem
    ways: tuple[Way, ...]
    schedule: Schedule
    checks: tuple[Check, ...]  # of the ways that the schedule uses
    believed: dict[tuple[int, int], float]
    rounds: int
    notes: tuple[str, ...]


def made(
    roadmap: Roadmap, demand: Demand, say: Callable[[str], None] = lambda _: None, stop: Stop = lambda: False
) -> Made:
    """The roadmap. Raises InputError where no schedule meets the demand, or none that the twin confirms."""
    market, notes = market_of(demand, robust=False, say=say)
    units = units_of(market)
    derate: dict[tuple[int, int], float] = {}
    known: dict[tuple[int, int], Check] = {}
    for number in range(1, ROUNDS + 1):
        say("solving the programme")
        problem, ways = problem_of(roadmap, units, derate)
        schedule = _solved(roadmap, problem)
        wanted = used(schedule)
        new = {w: n for w, n in wanted.items() if (w, n) not in known or not known[w, n].holds}
        checks = checked(units, ways, derate, new, say, stop)
        known |= {(c.way, wanted[c.way]): c for c in checks}
        now = [known[w, n] for w, n in wanted.items()]
        if all(c.holds for c in now):
            return Made(roadmap, demand, units, problem, ways, schedule, tuple(now), derate, number, notes)
        derate = believed([c for c in now if not c.holds], ways, derate)
    late = "; ".join(f"{what} {value:g} > {limit:g}" for c in now for what, value, limit in c.missed)
    raise InputError(f"{roadmap.name}: after {ROUNDS} rounds rehearsals still miss objectives: {late}")


def _solved(roadmap: Roadmap, problem: Problem) -> Schedule:
    """The best schedule. Raises NoScheduleError that names the limits in the way."""
    _deliverable(roadmap, problem)
    try:
        return solve(problem)
    except NoScheduleError as error:
        free = np.full(problem.periods, np.inf)
        lifted = {
            "the power limit": replace(problem, power_w=free),
            "the budget": replace(problem, capex_usd=free),
            "the power limit and the budget": replace(problem, power_w=free, capex_usd=free),
        }
        for said, lighter in lifted.items():
            try:
                without = solve(lighter)
            except NoScheduleError:
                continue
            power, spent = without.power_w.max(), without.usd["hardware"].max()
            raise NoScheduleError(
                f"{roadmap.name}: {said} cannot be kept: without it the cheapest schedule draws up to {power / 1e3:,.0f} kW "
                f"at the meter and spends up to ${spent / 1e6:,.3g} M in a {roadmap.period}"
            ) from None
        raise NoScheduleError(f"{roadmap.name}: {error}") from None


def _deliverable(roadmap: Roadmap, problem: Problem) -> None:
    """Raises NoScheduleError where something is asked for before anything that serves it can stand."""
    for s, name in enumerate(problem.services):
        kinds = {o.kind for o in problem.offers if o.service == s and o.rate_s > 0}
        first = min((0 if problem.kinds[k].have else problem.kinds[k].first for k in kinds), default=problem.periods)
        asked = int(np.flatnonzero(problem.demand_s[s])[0])
        if kinds and first > asked:
            raise NoScheduleError(
                f"{roadmap.name}: {name} is asked for from {month_text(roadmap.month_of(asked))}, the first system that serves it "
                f"can stand in {month_text(roadmap.month_of(first))}: rent (pay: [own, rent]), shorten lead, or begin later"
            )
