"""A mixed-integer programme row by row, and its solution by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tokenworks.errors import InputError
from tokenworks.plan.fleet.problem import Array

GAP = 1e-4  # a schedule this near to the bound is the best for all that is known of prices


class NoScheduleError(InputError):
    """The demand cannot be met in some period, whatever is bought."""


@dataclass
class Rows:
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


def solved(rows: Rows, fixed_usd: float, seconds: float) -> tuple[Array, float, float]:
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
