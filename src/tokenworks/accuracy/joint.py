"""How errors of TTFT, TPOT and throughput come together: those of rows predicted while their group was left out.

`left_out.json` has the predictions, `measurements.parquet` what was measured; joining them takes seconds, so the joined errors
are shipped. A test makes them anew; after a calibration `write` does.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import CatalogError

Array = NDArray[np.float64]
FILE = Path(__file__).parent / "data" / "joint_errors.json"
METRICS = ("ttft", "tpot", "throughput")
PRINTED = (("ttft mean", "ttft median"), ("tpot mean", "tpot median"), ("throughput",))  # the first that a row has
TAIL = 0.1


@lru_cache(maxsize=1)
def joint_errors() -> Array:
    """(n, 3) errors of TTFT, TPOT and throughput, one row a measurement, in bounds: 1 is the upper end of the metric's 80%
    interval, −1 the lower. Raises CatalogError."""
    try:
        return np.array(json.loads(FILE.read_text(encoding="utf-8"))["rows"], dtype=float).reshape(-1, len(METRICS))
    except (OSError, ValueError, LookupError) as error:
        raise CatalogError(f"{FILE.name} has no joint errors: {error!r}") from None


def build() -> Array:
    """From closed loops whose group of accelerator, model and engine was left out and that print all three. The logarithm of
    measured over predicted is divided by its own 10% or 90% quantile: intervals for the kind of novelty scale it back."""
    return np.asarray(in_bounds(np.array(_logs())).round(3))


def in_bounds(logs: Array) -> Array:
    """(n, 3) log(measured / predicted) over the bound on its side that a tenth of them pass."""
    low, high = np.quantile(logs, [TAIL, 1 - TAIL], axis=0)
    return np.asarray(np.where(logs > 0, logs / high, -logs / low))


def _logs() -> list[list[float]]:
    from tokenworks.accuracy.experiments import mode_of
    from tokenworks.accuracy.left_out import left_out
    from tokenworks.accuracy.packed import load_measurements
    from tokenworks.accuracy.residuals import printed
    from tokenworks.accuracy.tables import METRICS as ALL

    measured, found = load_measurements(), list[list[float]]()
    for index, six in left_out().rows["groups"].items():
        truth, said = printed(measured[index].targets), dict(zip(ALL, six, strict=True))
        pairs = [next(((t, p) for n in names if (t := truth[n]) and (p := said[n])), None) for names in PRINTED]
        whole = [pair for pair in pairs if pair is not None]
        if len(whole) == len(PRINTED) and mode_of(measured[index].row) == "closed":
            found.append([math.log(t / p) for t, p in whole])
    return found


def write() -> None:
    """Make the shipped file anew."""
    rows = ",\n  ".join(json.dumps(row) for row in build().tolist())
    about = (
        "errors of ttft, tpot, throughput of closed loops with their group left out; 1 and -1: ends of the 80% interval"
    )
    FILE.write_text(f'{{"source": "tokenworks-fit", "about": "{about}", "rows": [\n  {rows}\n]}}\n', encoding="utf-8")
