"""The measurements that ship with the package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenworks.accuracy.rows import Measurement, measurement

PACKED = Path(__file__).parent / "data" / "measurements.parquet"


@lru_cache(maxsize=1)
def load_measurements() -> list[Measurement]:
    """Every packed row, in order."""
    import pyarrow.parquet as pq

    return [measurement({key: _text(value) for key, value in row.items()}) for row in pq.read_table(PACKED).to_pylist()]


def _text(value: object) -> str:
    """Cells as a CSV would hold them: 7 significant digits are what the packing keeps."""
    if value is None:
        return ""
    return f"{value:.7g}" if isinstance(value, float) else str(value)
