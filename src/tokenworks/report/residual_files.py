"""Residuals on disk: the page, and beside it a Parquet file with every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.accuracy.residual_columns import columns
from tokenworks.accuracy.residuals import Residual
from tokenworks.accuracy.rows import Row
from tokenworks.report.files import write_together
from tokenworks.report.residual_page import residual_page
from tokenworks.report.tables import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = (
    "id", "split", "status", "assumed_or_reason", "mode", "novelty", "harness", "engine_family", "engine_era",
    "engine_quarter", "model_kind", "weights", "kv",
)  # fmt: skip
_COUNTS = ("row", "replica_gpus", "max_seqs", "token_budget")


def places(out: Path) -> tuple[Path, Path]:
    """The page and the table: in a folder, or under the name of a page that is asked for.

    >>> [p.as_posix() for p in places(Path("out")) + places(Path("a/b.html"))]
    ['out/residuals.html', 'out/residuals.parquet', 'a/b.html', 'a/b.parquet']
    """
    page = out if out.suffix.lower() == ".html" else out / "residuals.html"
    return page, page.with_suffix(".parquet")


def write_residuals(found: Sequence[Residual], out: Path) -> tuple[Path, Path]:
    """Write both, whole or not at all; their paths. Raises OutputError."""
    page, table = places(out)
    write_together({page: residual_page(found).encode(), table: parquet_bytes(residual_table(columns(found)))})
    return page, table


def residual_table(values: Mapping[str, list[Any]]) -> pa.Table:
    """The columns as an Arrow table; a column has its type even where no row fills it."""
    import pyarrow as pa

    kinds = {"str": pa.string(), "int | None": pa.int64(), "float | None": pa.float64()}
    known = {field.name: kinds[str(field.type)] for field in fields(Row)}
    known |= dict.fromkeys(_WORDS, pa.string()) | dict.fromkeys(_COUNTS, pa.int64())
    other = lambda name: pa.bool_() if name.startswith("inside_") else pa.float64()  # noqa: E731
    return pa.table({name: pa.array(cells, known.get(name) or other(name)) for name, cells in values.items()})
