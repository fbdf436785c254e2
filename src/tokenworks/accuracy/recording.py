"""What calibration predicted without having seen, for `left_out.json`: errors by kind of leaving out, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.accuracy.fit import Case
from tokenworks.accuracy.leaving import Table, residuals
from tokenworks.accuracy.tables import METRICS
from tokenworks.physics.terms import model_kind

Array = NDArray[np.float64]
PRINTED = np.array([1.0, 1e3, 1e3, 1e3, 1e3, 1.0])  # tokens/s per GPU, milliseconds, joules per output token
BY: dict[str, Callable[[Case], str]] = {
    "accelerator": lambda case: case.row.gpu,
    "model": lambda case: case.row.model,
    "kind of model": lambda case: model_kind(catalog.load("models", case.row.model)),
    "dataset": lambda case: case.row.dataset,
    "mode": lambda case: case.experiment.mode,
}


def record(data: Table, predicted: Mapping[str, Array]) -> dict[str, Any]:
    """``predicted``: log predictions by kind. Errors in percent; rows with whole groups left out one by one."""
    return {
        "kinds": {kind: errors(residuals(data, logs)) for kind, logs in predicted.items()},
        "slices": [part for kind, logs in predicted.items() for part in _slices(data, kind, residuals(data, logs))],
        "rows": {"groups": _rows(data, predicted["groups"])},
    }


def errors(residual: Array) -> dict[str, dict[str, float]]:
    """Median, p90 and bias in percent, and rows, of log(measured / predicted): metric → figures."""
    found = {}
    for metric, name in enumerate(METRICS):
        log = residual[:, metric]
        log = log[np.isfinite(log)]
        if len(log):
            off = np.expm1(-log) * 100
            found[name] = {
                "median": _short(np.median(np.abs(off))),
                "p90": _short(np.quantile(np.abs(off), 0.9)),
                "bias": _short(np.median(off)),
                "rows": len(log),
            }
    return found


def _slices(data: Table, kind: str, residual: Array) -> Iterator[dict[str, Any]]:
    for by, name_of in BY.items():
        names = np.array([name_of(case) for case in data.cases])
        for name in sorted(set(names[np.isfinite(residual).any(axis=1)])):
            yield {"kind": kind, "by": by, "name": str(name), **errors(residual[names == name])}


def _rows(data: Table, predicted: Array) -> dict[str, list[float | None]]:
    """Predicted figures by the index of the measurement."""
    found: dict[str, list[float | None]] = {}
    for number, case in enumerate(data.cases):
        values = np.exp(predicted[number]) * PRINTED
        figures = [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]
        found.update({str(index): figures for index in case.members})
    return dict(sorted(found.items(), key=lambda pair: int(pair[0])))


def _short(value: float) -> float:
    return round(float(value), 2)


def said(table: Mapping[str, Any]) -> str:
    """Median and p90 per kind and metric; one line each."""
    lines = []
    for kind, metrics in table["kinds"].items():
        for name, e in metrics.items():
            lines.append(f"{kind} left out: {name:12} {e['median']:5.1f}% (p90 {e['p90']:.0f}%) of {e['rows']}")
    for part in table["slices"]:
        if part["kind"] == "models" and part["by"] == "kind of model" and "throughput" in part:
            lines.append(f"models left out, {part['name']}: throughput {part['throughput']['median']:.1f}%")
    return "\n".join(lines)
