"""The files of a sweep: a table as CSV and Parquet, a page, JSON. Equal sweeps are equal bytes."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from tokenworks.plan.sweep.run import Sweep
from tokenworks.report.sweep_page import sweep_page
from tokenworks.report.tables import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "tokenworks-sweep-1"  # raised when a column changes its meaning; new ones do not raise it


def sweep_files(found: Sweep) -> dict[str, bytes]:
    """File names and their bytes."""
    return {
        "sweep.csv": sweep_csv(found).encode(),
        "sweep.parquet": parquet_bytes(sweep_table(found)),
        "sweep.html": sweep_page(found).encode(),
    }


def records(found: Sweep) -> list[dict[str, Any]]:
    """One per point: its number from 1, its values as written, its figures; None where it has none."""
    return [
        {"point": i + 1, **dict(found.points[i]), **{name: row.get(name) for name in found.columns}}
        for i, row in enumerate(found.rows)
    ]


def sweep_json(found: Sweep) -> str:
    best = None if found.best is None else found.best + 1
    head = {"format": FORMAT, "factory": found.factory, "asked": found.asked, "by": found.by, "best": best}
    return json.dumps({**head, "points": records(found)}, ensure_ascii=False, indent=1, allow_nan=False)


def sweep_csv(found: Sweep) -> str:
    """Numbers with all their digits; nothing where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["point", *found.axes, *found.columns])
    for record in records(found):
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in record.values()])
    return out.getvalue()


def sweep_table(found: Sweep) -> pa.Table:
    """Values as written are text; counts are whole numbers, other figures floats."""
    import pyarrow as pa

    given = records(found)
    columns: dict[str, Any] = {}
    for name in ("point", *found.axes, *found.columns):
        values = [record[name] for record in given]
        known = [v for v in values if v is not None]
        kind = pa.string() if name in found.axes or any(isinstance(v, str) for v in known) else pa.float64()
        if known and all(isinstance(v, int) for v in known):
            kind = pa.int64()
        columns[name] = pa.array(values, kind)
    return pa.table(columns)
