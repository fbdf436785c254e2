"""Views of the residuals: the rows that one looks at together, and the headline errors of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.residuals import Residual
from tokenworks.accuracy.splits import distinct
from tokenworks.accuracy.tables import METRICS, coverage, errors_of
from tokenworks.accuracy.validate import ASSUMED, OK

Mask = NDArray[np.bool_]
COVERED = {"throughput": "throughput", "tpot mean": "tpot", "ttft mean": "ttft", "energy": "energy"}


@dataclass(frozen=True)
class View:
    """A choice of rows, by name."""

    name: str
    rows: Mask
    dataset: bool = False


def views(found: Sequence[Residual]) -> list[View]:
    """All rows, what `validate` prints of them, the splits and each dataset, where there are any."""
    status = np.array([r.answer.status for r in found], dtype=str)
    valid = np.array([r.measured.split == "validation" for r in found], dtype=bool)
    headline = valid.copy()
    headline[valid] = distinct([r.measured for r in found if r.measured.split == "validation"])
    dataset = np.array([r.measured.row.dataset for r in found], dtype=str)
    chosen = [
        View("calibration", ~valid),
        View("validation as printed", valid),
        View("validation, distinct, no assumption", headline & (status == OK)),
        View("without assumptions", status == OK),
        View("with assumptions", status == ASSUMED),
        *(View(name, dataset == name, dataset=True) for name in sorted(set(dataset.tolist())) if name),
    ]
    return [View("all rows", np.ones(len(found), dtype=bool)), *(view for view in chosen if view.rows.any())]


@dataclass(frozen=True)
class Line:
    """Errors of one metric in percent, as `validate` prints them; ``inside`` percent of the 80% intervals hold the truth."""

    metric: str
    rows: int
    median: float
    p90: float
    bias: float
    inside: float | None


def headline(found: Sequence[Residual], view: View) -> list[Line]:
    """One line per metric that was measured."""
    rows = [(r.measured, r.answer) for r, chosen in zip(found, view.rows, strict=True) if chosen]
    errors, covered = errors_of(rows), coverage(rows)
    return [
        Line(m, int(e["rows"]), e["median"], e["p90"], e["bias"], covered.get(COVERED.get(m, "")))
        for m, e in ((m, errors[m]) for m in METRICS if m in errors)
    ]


def logs_of(found: Sequence[Residual]) -> dict[str, NDArray[np.float64]]:
    """ln(predicted / measured) of every row by metric; NaN where there is none."""
    every = [r.logs() for r in found]
    return {m: np.array([logs.get(m, np.nan) for logs in every]) for m in METRICS}
