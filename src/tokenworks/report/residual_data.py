"""What the residual page's script reads of every row: the columns of the Parquet file, compact."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokenworks.accuracy.breakdown import OPERATORS
from tokenworks.accuracy.residual_buckets import Buckets
from tokenworks.accuracy.residual_columns import BOUNDED, INPUTS, NAMED, SETTING, share_name
from tokenworks.accuracy.residual_views import View
from tokenworks.report.residual_tables import word

DIGITS = 5
UNITS = {
    "throughput": "output tokens/s/GPU",
    "tpot mean": "TPOT mean, ms",
    "tpot median": "TPOT median, ms",
    "ttft mean": "TTFT mean, ms",
    "ttft median": "TTFT median, ms",
    "energy": "J/output token",
}
_PLAIN = ("row", "id", "split", "status", "assumed_or_reason")


def page_data(columns: Mapping[str, list[Any]], views: Sequence[View], buckets: Sequence[Buckets]) -> str:
    """JSON that may stand inside a script element."""
    chosen = (
        *_PLAIN,
        *INPUTS,
        *SETTING,
        *(f"{kind}_{n}" for n in NAMED.values() for kind in ("measured", "predicted")),
    )
    chosen += tuple(f"{side}_{NAMED[m]}" for m in BOUNDED for side in ("p10", "p90"))
    data = {
        "count": len(columns["row"]),
        "inputs": INPUTS,
        "setting": SETTING,
        "metrics": [
            {"name": word(metric), "said": UNITS[metric], "column": name, "bounded": metric in BOUNDED}
            for metric, name in NAMED.items()
        ],
        "columns": {name: packed(columns[name]) for name in chosen},
        "operators": OPERATORS,
        "shares": [_permyriad(columns[share_name(name)]) for name in OPERATORS],
        "views": [{"name": v.name, "rows": _members(v)} for v in views],
        "charts": [{"title": b.title, "labels": b.labels, "at": b.at.tolist()} for b in buckets],
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def packed(values: list[Any]) -> Any:
    """A column; where values repeat, the distinct ones and each row's place among them (−1: none).

    >>> packed(["a", "a", None, "a", "a", "b", "b", "b"])
    {'v': ['a', 'b'], 'i': [0, 0, -1, 0, 0, 1, 1, 1]}
    """
    short = [float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for v in values]
    short = [int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 1e15 else v for v in short]
    place: dict[Any, int] = {}
    at = [-1 if v is None else place.setdefault(v, len(place)) for v in short]
    return {"v": list(place), "i": at} if 4 * len(place) <= len(short) else short


def _permyriad(values: list[float | None]) -> list[int]:
    """Shares in ten-thousandths; rows without a rehearsal have none."""
    return [0 if v is None else round(1e4 * v) for v in values]


def _members(view: View) -> list[int] | None:
    """Numbers of the rows, as differences from one to the next; nothing for all rows."""
    if view.rows.all():
        return None
    found: list[int] = np.diff(np.flatnonzero(view.rows), prepend=0).tolist()
    return found
