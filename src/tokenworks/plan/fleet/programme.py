"""The fleet over time as a mixed-integer programme, solved by HiGHS.

Systems of a kind that were bought in the same period are a cohort: at most ``life`` periods old, sold at any age at the
value of that age. With b bought, z sold, u units and m units stopped:

    there[k,t]  = Σ cohorts (b − Σ sold so far)                          at most life periods old
    Σ_offers share·u ≤ there          Σ_offers rate·u ≥ demand            Σ idle·there + Σ extra·u ≤ power
    m[o,t] ≥ u[o,t−1] − u[o,t]        Σ price·b ≤ capex of the period
    minimise Σ discount·(price·b + keep·there + energy + move·m − value·z) − value of what is left

Units are whole, so that a service on one worker is one worker; fractions of systems may be shared by services.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tokenworks.errors import InputError
from tokenworks.plan.fleet.problem import Array, Ints, Problem, Schedule

GAP = 1e-4  # a schedule this near to the bound is the best for all that is known of prices
MOST_S = 60.0


class NoScheduleError(InputError):
    """The demand cannot be met in some period, whatever is bought."""


@dataclass
class _Rows:
    """A programme as HiGHS takes it: columns, then rows of (lower, upper, columns, factors)."""

    cost: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[tuple[float, float, list[int], list[float]]] = field(default_factory=list)

    def column(self, cost: float, upper: float, whole: bool = True) -> int:
        self.cost.append(cost)
        self.upper.append(max(0.0, upper))
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, terms: list[tuple[int, float]], lower: float = -np.inf, upper: float = np.inf) -> None:
        self.rows.append((lower, upper, [c for c, _ in terms], [f for _, f in terms]))


@dataclass(frozen=True)
class _Cohort:
    """Systems of a kind that came together: ``start`` < 0 where they were there before the first period."""

    kind: int
    start: int
    count: int  # of those that were there
    bought: int  # column; −1: was there
    sold: dict[int, int]  # column by period of leaving

    def standing(self, period: int) -> list[tuple[int, float]]:
        """Terms of how many stand in a period, apart from ``count``."""
        gone = [(column, -1.0) for at, column in self.sold.items() if at <= period]
        return gone if self.bought < 0 else [(self.bought, 1.0), *gone]


def solve(problem: Problem, seconds: float = MOST_S) -> Schedule:
    """The cheapest schedule, or the best found in ``seconds``. Raises NoScheduleError."""
    began = time.perf_counter()
    rows = _Rows()
    cohorts = list(_cohorts(problem, rows))
    units = _units(problem, rows)
    moved = _moved(problem, rows, units)
    _served(problem, rows, units)
    _housed(problem, rows, cohorts, units)
    _limited(problem, rows, cohorts, units)
    values, bound, fixed = _solved(rows, _fixed_usd(problem, cohorts), seconds)
    return _schedule(problem, cohorts, units, moved, values, (fixed, bound), time.perf_counter() - began)


def _cohorts(problem: Problem, rows: _Rows) -> Iterator[_Cohort]:
    for number, kind in enumerate(problem.kinds):
        for age, count in kind.have:
            yield _cohort(problem, rows, number, -age, count)
        for start in range(kind.first, problem.periods):
            yield _cohort(problem, rows, number, start, 0)


def _cohort(problem: Problem, rows: _Rows, number: int, start: int, count: int) -> _Cohort:
    """Columns of buying and selling. A system is kept from its start until it is sold: the cost of keeping it to the end of its
    life, or of the horizon, is put on buying, and what is saved by selling it earlier on selling."""
    kind, T = problem.kinds[number], problem.periods
    end = start + kind.life
    bought = rows.column(_buy_usd(problem, number, start), np.inf) if start >= 0 else -1
    if not kind.owned:  # a contract runs out by itself
        return _Cohort(number, start, count, bought, {})
    leaves = range(max(start + 1, 0), min(end, T - 1) + 1)
    sold = {at: rows.column(-_sale_usd(problem, number, start, at), np.inf if start >= 0 else count) for at in leaves}
    gone = [(column, 1.0) for column in sold.values()]
    terms, most = (gone, float(count)) if bought < 0 else ([*gone, (bought, -1.0)], 0.0)
    if gone:  # no more leave than came, and all when their life ends
        rows.row(terms, most if end < T else -np.inf, most)
    return _Cohort(number, start, count, bought, sold)


def _value(problem: Problem, number: int, start: int, at: int) -> float:
    """Dollars of the day that one system fetches at the start of a period."""
    kind = problem.kinds[number]
    age = min(at - start, kind.life)
    price = kind.price_usd[max(0, min(start, problem.periods - 1))]
    return float(price * kind.value_share[age])


def _keep(problem: Problem, number: int, first: int, end: int) -> float:
    """Discounted cost of one idle system from a period to before another."""
    kind = problem.kinds[number]
    span = slice(max(0, first), min(end, problem.periods))
    energy = kind.idle_w * problem.usd_per_j * problem.period_s
    return float((problem.discount[:-1] * (kind.keep_usd + energy))[span].sum())


def _buy_usd(problem: Problem, number: int, start: int) -> float:
    """Of one system that stays to the end of its life or of the horizon, less what it is worth then."""
    kind, T = problem.kinds[number], problem.periods
    end = start + kind.life
    paid = float(problem.discount[start] * kind.price_usd[start]) + _keep(problem, number, start, end)
    left = problem.discount[T] * _value(problem, number, start, T) if end >= T else 0.0
    return paid - float(left)


def _sale_usd(problem: Problem, number: int, start: int, at: int) -> float:
    """What leaving at the start of a period brings: its value then and what keeping it would have cost, less its value at
    the end of the horizon."""
    end, T = start + problem.kinds[number].life, problem.periods
    left = problem.discount[T] * _value(problem, number, start, T) if end >= T else 0.0
    brings = problem.discount[at] * _value(problem, number, start, at) + _keep(problem, number, at, end)
    return float(brings - left)


def _fixed_usd(problem: Problem, cohorts: list[_Cohort]) -> float:
    """Of the systems that are there, should they stay."""
    T, total = problem.periods, 0.0
    for c in cohorts:
        if c.bought < 0:
            end = c.start + problem.kinds[c.kind].life
            left = problem.discount[T] * _value(problem, c.kind, c.start, T) if end >= T else 0.0
            total += c.count * (_keep(problem, c.kind, 0, end) - float(left))
    return total


def _units(problem: Problem, rows: _Rows) -> Ints:
    """Columns (O, T) of running units, with the energy that they draw above idle boards."""
    energy = problem.discount[:-1] * problem.usd_per_j * problem.period_s
    found = [
        [
            rows.column(float(energy[t] * o.extra_w), np.inf if t >= _first(problem, o.kind) else 0.0)
            for t in range(problem.periods)
        ]
        for o in problem.offers
    ]
    return np.array(found, np.int64).reshape(len(problem.offers), problem.periods)


def _first(problem: Problem, kind: int) -> int:
    return 0 if problem.kinds[kind].have else problem.kinds[kind].first


def _moved(problem: Problem, rows: _Rows, units: Ints) -> Ints:
    """Columns (O, T − 1) of units that are stopped at the start of periods 1 …; none where moving is free."""
    found = np.full((len(problem.offers), max(0, problem.periods - 1)), -1, np.int64)
    if not problem.move_usd:
        return found
    for o in range(len(problem.offers)):
        for t in range(1, problem.periods):
            column = rows.column(float(problem.discount[t] * problem.move_usd), np.inf, whole=False)
            rows.row([(column, 1.0), (int(units[o, t - 1]), -1.0), (int(units[o, t]), 1.0)], 0.0)
            found[o, t - 1] = column
    return found


def _served(problem: Problem, rows: _Rows, units: Ints) -> None:
    for s, name in enumerate(problem.services):
        mine = [o for o, offer in enumerate(problem.offers) if offer.service == s]
        if not mine:
            raise NoScheduleError(f"nothing that may be bought can serve {name} within its objectives")
        for t in range(problem.periods):
            rows.row([(int(units[o, t]), problem.offers[o].rate_s) for o in mine], float(problem.demand_s[s, t]))


def _housed(problem: Problem, rows: _Rows, cohorts: list[_Cohort], units: Ints) -> None:
    for k in range(len(problem.kinds)):
        for t in range(problem.periods):
            terms, count = _there(problem, cohorts, k, t)
            used = [(int(units[o, t]), offer.share) for o, offer in enumerate(problem.offers) if offer.kind == k]
            if used:
                rows.row([*used, *((c, -f) for c, f in terms)], upper=float(count))


def _there(problem: Problem, cohorts: list[_Cohort], kind: int, period: int) -> tuple[list[tuple[int, float]], int]:
    """(terms, constant) of the systems of a kind that stand in a period."""
    life = problem.kinds[kind].life
    young = [c for c in cohorts if c.kind == kind and c.start <= period < c.start + life]
    return [term for c in young for term in c.standing(period)], sum(c.count for c in young)


def _limited(problem: Problem, rows: _Rows, cohorts: list[_Cohort], units: Ints) -> None:
    """Watts and dollars of every period."""
    for t in range(problem.periods):
        if np.isfinite(problem.power_w[t]):
            terms = [(int(units[o, t]), offer.extra_w) for o, offer in enumerate(problem.offers)]
            fixed = 0.0
            for k, kind in enumerate(problem.kinds):
                standing, count = _there(problem, cohorts, k, t)
                terms += [(column, factor * kind.idle_w) for column, factor in standing]
                fixed += count * kind.idle_w
            rows.row(_summed(terms), upper=float(problem.power_w[t] - fixed))
        if np.isfinite(problem.capex_usd[t]):
            spent = [
                (c.bought, float(problem.kinds[c.kind].price_usd[t])) for c in cohorts if c.start == t and c.bought >= 0
            ]
            if spent:
                rows.row(spent, upper=float(problem.capex_usd[t]))


def _summed(terms: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each column once."""
    total: dict[int, float] = {}
    for column, factor in terms:
        total[column] = total.get(column, 0.0) + factor
    return list(total.items())


def _solved(rows: _Rows, fixed_usd: float, seconds: float) -> tuple[Array, float, float]:
    """(values, bound, objective). Raises NoScheduleError."""
    import highspy

    count = len(rows.cost)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = count, len(rows.rows)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.array(rows.cost), np.zeros(count), np.array(rows.upper)
    lp.integrality_ = [highspy.HighsVarType.kInteger if w else highspy.HighsVarType.kContinuous for w in rows.whole]
    lp.row_lower_, lp.row_upper_ = np.array([r[0] for r in rows.rows]), np.array([r[1] for r in rows.rows])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum([len(r[2]) for r in rows.rows])]).astype(np.int32)
    lp.a_matrix_.index_ = np.concatenate([np.array(r[2], np.int32) for r in rows.rows])
    lp.a_matrix_.value_ = np.concatenate([np.array(r[3], float) for r in rows.rows])
    lp.offset_ = fixed_usd
    solver = highspy.Highs()
    for name, value in (
        ("log_to_console", False),
        ("output_flag", False),
        ("mip_rel_gap", GAP),
        ("time_limit", seconds),
        ("random_seed", 1),
    ):
        solver.setOptionValue(name, value)
    solver.passModel(lp)
    solver.run()
    info, status = solver.getInfo(), solver.getModelStatus()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        raise NoScheduleError(f"no schedule meets the demand within the limits ({solver.modelStatusToString(status)})")
    return np.array(solver.getSolution().col_value), float(info.mip_dual_bound), float(info.objective_function_value)


def _schedule(
    problem: Problem,
    cohorts: list[_Cohort],
    units: Ints,
    moved: Ints,
    values: Array,
    found: tuple[float, float],
    seconds: float,
) -> Schedule:
    K, T = len(problem.kinds), problem.periods
    whole = np.rint(values).astype(np.int64)
    bought, sold, there = (np.zeros((K, T), np.int64) for _ in range(3))
    resale, value = np.zeros(T), 0.0
    for c in cohorts:
        if c.bought >= 0:
            bought[c.kind, c.start] += whole[c.bought]
        for at, column in c.sold.items():
            if at < T:
                sold[c.kind, at] += whole[column]
                resale[at] += whole[column] * _value(problem, c.kind, c.start, at)
        if problem.kinds[c.kind].owned and c.start + problem.kinds[c.kind].life >= T:
            left = c.count + sum(f * whole[column] for column, f in c.standing(T - 1))
            value += left * _value(problem, c.kind, c.start, T)
    for k in range(K):
        for t in range(T):
            terms, count = _there(problem, cohorts, k, t)
            there[k, t] = count + round(sum(f * whole[column] for column, f in terms))
    running = whole[units].reshape(units.shape)
    power = _power_w(problem, there, running)
    stopped = (
        np.maximum(0, running[:, :-1] - running[:, 1:]).sum(axis=0) if problem.move_usd else np.zeros(max(0, T - 1))
    )
    return Schedule(
        bought,
        sold,
        there,
        running,
        _usd(problem, bought, there, power, resale, stopped),
        power,
        value,
        found[0],
        found[1],
        seconds,
    )


def _power_w(problem: Problem, there: Ints, units: Ints) -> Array:
    idle = np.array([k.idle_w for k in problem.kinds])
    extra = np.array([o.extra_w for o in problem.offers])
    return np.asarray(idle @ there + extra @ units, float)


def _usd(problem: Problem, bought: Ints, there: Ints, power: Array, resale: Array, stopped: Array) -> dict[str, Array]:
    """Dollars of the day by cause and period."""
    owned = np.array([k.owned for k in problem.kinds])
    keep = np.array([k.keep_usd for k in problem.kinds]) * there
    price = np.array([k.price_usd for k in problem.kinds]) * bought
    return {
        "hardware": price.sum(axis=0),
        "resale": -resale,
        "care and space": keep[owned].sum(axis=0),
        "rent": keep[~owned].sum(axis=0),
        "energy": power * problem.usd_per_j * problem.period_s,
        "moving": np.concatenate([[0.0], stopped * problem.move_usd]),
    }
