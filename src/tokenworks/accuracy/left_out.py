"""What calibration wrote down about rows that it had left out: `left_out.json` beside the effects.

``kinds``: kind → metric → median, p90, bias (percent) and rows. ``slices``: the same for one accelerator, model, dataset or
kind of model (``by``, ``name``) of a kind. ``rows``: kind → index of a packed row → its six predictions, in the order and
units of the error tables (tokens/s per GPU, milliseconds, joules per output token), null where there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.tables import METRICS
from tokenworks.accuracy.validate import OK, Answer
from tokenworks.errors import CatalogError
from tokenworks.physics.terms import CALIBRATION

NAME = "left_out.json"
Errors = Mapping[str, Mapping[str, float]]  # metric → median, p90, bias, rows
Six = list[float | None]


@dataclass(frozen=True)
class LeftOut:
    """Errors of rows that the fit which predicted them had not seen."""

    kinds: Mapping[str, Errors]
    slices: Mapping[tuple[str, str, str], Errors]  # (kind, by, name)
    rows: Mapping[str, Mapping[int, Six]]

    def answered(self, kind: str, measured: Sequence[Measurement]) -> list[tuple[Measurement, Answer]]:
        """Packed rows, known by their ids, with their predictions while their kind was left out; those that were kept."""
        index = {m.id: i for i, m in enumerate(load_measurements())}
        found = ((m, self.rows.get(kind, {}).get(index.get(m.id, -1))) for m in measured)
        return [(m, _answer(six)) for m, six in found if six is not None]


def _answer(six: Six) -> Answer:
    rate, tpot_mean, tpot_median, ttft_mean, ttft_median, joules = six
    return Answer(
        OK,
        rate=_point(rate),
        tpot_mean=tpot_mean,
        tpot_median=tpot_median,
        ttft_mean=ttft_mean,
        ttft_median=ttft_median,
        joules=_point(joules),
    )


def _point(value: float | None) -> tuple[float, float, float] | None:
    """Without an interval."""
    return None if value is None else (value, value, value)


def left_out(folder: Path = CALIBRATION) -> LeftOut:
    """What the calibration in a folder knows of rows left out; nothing where it has no such file. Raises CatalogError."""
    path = folder / NAME
    if not path.exists():
        return LeftOut({}, {}, {})
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return LeftOut(
            {kind: _errors(cells) for kind, cells in found["kinds"].items()},
            {(s["kind"], s["by"], s["name"]): _errors(s) for s in found["slices"]},
            {kind: {int(i): _six(values) for i, values in rows.items()} for kind, rows in found["rows"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CatalogError(f"{path} is not a file of rows left out: {error!r}; run `tokenworks calibrate`") from None


def _errors(cells: Mapping[str, Any]) -> Errors:
    return {
        m: {name: float(cells[m][name]) for name in ("median", "p90", "bias", "rows")} for m in METRICS if m in cells
    }


def _six(values: list[float | None]) -> Six:
    if len(values) != len(METRICS):
        raise ValueError(f"{len(values)} predictions instead of {len(METRICS)}")
    return [None if v is None else float(v) for v in values]


def fingerprint(folder: Path = CALIBRATION) -> str:
    """Twelve hexadecimal digits that name a calibration: its fitted files, and the priors that they stand on."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".toml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
