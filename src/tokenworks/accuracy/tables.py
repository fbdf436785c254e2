"""Error tables: predictions against what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.splits import distinct
from tokenworks.accuracy.validate import ASSUMED, OK, UNSUPPORTED, Answer

METRICS = ("throughput", "tpot mean", "tpot median", "ttft mean", "ttft median", "energy")
WORST = 8
Pair = tuple[float, float]  # predicted, measured


def pairs(m: Measurement, a: Answer) -> dict[str, Pair]:
    """Predicted and measured figures that both exist. Board joules only: scopes are never mixed."""
    t = m.targets
    joules = t.joules_per_output_token if t.power_scope == "per-GPU board" else None
    both = {
        "throughput": (a.rate[0] if a.rate else None, t.output_tokens_s_gpu),
        "tpot mean": (a.tpot_mean, t.tpot_ms_mean),
        "tpot median": (a.tpot_median, t.tpot_ms_median),
        "ttft mean": (a.ttft_mean, t.ttft_ms_mean),
        "ttft median": (a.ttft_median, t.ttft_ms_median),
        "energy": (a.joules[0] if a.joules else None, joules),
    }
    return {name: (p, v) for name, (p, v) in both.items() if p is not None and v}


def fully_specified(m: Measurement) -> bool:
    """Everything that a prediction needs is stated; aggregated, no speculation."""
    r = m.row
    known = all((r.gpu, r.gpus, r.model, r.quantization, r.tp, r.isl, r.osl))
    load = r.concurrency or r.batch_size or r.request_rate or r.serving == "offline_max"
    return bool(known and load and r.disaggregated != "true" and r.spec_decoding in ("none", "assumed_none"))


def errors_of(chosen: Iterable[tuple[Measurement, Answer]]) -> dict[str, dict[str, float]]:
    """Rows, median and p90 absolute error and median bias, in percent, by metric."""
    found: dict[str, list[float]] = {}
    for m, a in chosen:
        for name, (predicted, truth) in pairs(m, a).items():
            found.setdefault(name, []).append(100 * (predicted / truth - 1))
    return {
        name: {
            "rows": len(values),
            "median": round(float(np.median(np.abs(values))), 2),
            "p90": round(float(np.quantile(np.abs(values), 0.9)), 2),
            "bias": round(float(np.median(values)), 2),
        }
        for name, values in ((n, found[n]) for n in METRICS if n in found)
    }


def error_table(measured: Sequence[Measurement], answers: Sequence[Answer]) -> dict[str, Any]:
    """Everything that `validate` prints, as JSON types."""
    rows = list(zip(measured, answers, strict=True))
    full = [(m, a) for m, a in rows if fully_specified(m)]
    valid = [(m, a) for m, a in rows if m.split == "validation"]
    once = distinct([m for m, _ in valid])
    headline = [(m, a) for (m, a), first in zip(valid, once, strict=True) if first and a.status == OK]
    datasets = sorted({m.row.dataset for m in measured})
    reasons = Counter(a.reason for _, a in rows if a.status == UNSUPPORTED)
    return {
        "rows": len(rows),
        "status": dict(Counter(a.status for a in answers)),
        "fully specified": {"rows": len(full), "predicted": sum(a.status != UNSUPPORTED for _, a in full)},
        "all": errors_of(rows),
        "without assumptions": errors_of((m, a) for m, a in rows if a.status == OK),
        "with assumptions": errors_of((m, a) for m, a in rows if a.status == ASSUMED),
        "validation, distinct, no assumption": errors_of(headline),
        "validation as printed": errors_of(valid),
        "datasets": {d: errors_of((m, a) for m, a in rows if m.row.dataset == d) for d in datasets},
        "intervals": coverage(rows),
        "unsupported": dict(reasons.most_common()),
        "worst": _worst(rows),
    }


def coverage(rows: Sequence[tuple[Measurement, Answer]]) -> dict[str, float]:
    """Percent of measured means inside the 80% interval."""
    return {name: round(100 * float(np.mean(v)), 1) for name, v in covered(rows).items() if v}


def covered(rows: Sequence[tuple[Measurement, Answer]]) -> dict[str, list[bool]]:
    """Whether measured means lie inside their 80% interval, by metric."""
    inside: dict[str, list[bool]] = {"throughput": [], "tpot": [], "ttft": [], "energy": []}
    for m, a in rows:
        t = m.targets
        bands = (
            ("throughput", t.output_tokens_s_gpu, a.rate[1:] if a.rate else None),
            ("tpot", t.tpot_ms_mean, a.tpot_band),
            ("ttft", t.ttft_ms_mean, a.ttft_band),
            (
                "energy",
                t.joules_per_output_token if t.power_scope == "per-GPU board" else None,
                a.joules[1:] if a.joules else None,
            ),
        )
        for name, truth, bounds in bands:
            if truth and bounds:
                inside[name].append(bounds[0] <= truth <= bounds[1])
    return inside


def _worst(rows: Sequence[tuple[Measurement, Answer]]) -> list[dict[str, Any]]:
    """Rows whose throughput or TPOT is furthest off."""
    scored = []
    for m, a in rows:
        found = pairs(m, a)
        for name in ("throughput", "tpot mean", "tpot median"):
            if name in found:
                predicted, truth = found[name]
                scored.append((abs(np.log(predicted / truth)), m, name, predicted, truth))
                break
    scored.sort(key=lambda s: -s[0])
    return [
        {
            "id": m.id,
            "dataset": m.row.dataset,
            "gpu": m.row.gpu,
            "model": m.row.model,
            "metric": name,
            "predicted": round(p, 2),
            "measured": round(t, 2),
        }
        for _, m, name, p, t in scored[:WORST]
    ]


def table_text(table: dict[str, Any]) -> str:
    """The error table for a terminal of 100 columns."""
    full = table["fully specified"]
    status = ", ".join(f"{n:,} {name}" for name, n in table["status"].items())
    share = full["predicted"] / full["rows"] if full["rows"] else 0.0
    lines = [
        f"{table['rows']:,} rows: {status}. Fully specified: {full['predicted']:,} of {full['rows']:,} predicted ({share:.1%}).",
        "Median / p90 of the absolute error in percent (bias), rows",
        f"{'':36}" + "".join(f"{name:>13}" for name in METRICS),
    ]
    for name in (
        "all",
        "without assumptions",
        "with assumptions",
        "validation, distinct, no assumption",
        "validation as printed",
    ):
        lines += _lines(name, table[name])
    lines.append("By dataset")
    for name, errors in table["datasets"].items():
        if errors:
            lines += _lines("  " + name, errors)
    inside = ", ".join(f"{k} {v:.0f}%" for k, v in table["intervals"].items())
    lines += [f"80% intervals contain: {inside}", "Furthest off:"]
    lines += [
        f"  {w['id']} {w['dataset']} {w['gpu']} {w['model']}: {w['metric']} {w['predicted']:g}, measured {w['measured']:g}"
        for w in table["worst"]
    ]
    lines.append("Not predicted:")
    lines += [f"  {count:5} {reason}" for reason, count in table["unsupported"].items()]
    return "\n".join(lines)


def _lines(name: str, errors: dict[str, dict[str, float]]) -> list[str]:
    cells = [errors.get(metric) for metric in METRICS]
    first = "".join(f"{_size(c):>13}" for c in cells)
    second = "".join(f"{_bias(c):>13}" for c in cells)
    return [f"{name[:36]:36}{first}", f"{'':36}{second}"]


def _size(cell: dict[str, float] | None) -> str:
    return f"{cell['median']:.1f}/{cell['p90']:.0f}" if cell else ""


def _bias(cell: dict[str, float] | None) -> str:
    return f"{cell['bias']:+.0f} n={cell['rows']}" if cell else ""
