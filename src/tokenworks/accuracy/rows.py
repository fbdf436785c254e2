"""One published measurement: what was run (inputs), apart from what was measured (targets).

Columns ``notes``, ``id``, ``source``, ``split`` and all targets never reach code that predicts.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from tokenworks.errors import InputError

Cells = Mapping[str, str]
ALL_AT_ONCE = 1e9  # requests per second
# What a row may ask for and still be rehearsed in seconds: twice the largest published figures, and more.
DEGREES = (
    "tp",
    "pp",
    "dp_attention",
    "moe_tp",
    "moe_ep",
    *(f"{p}_{d}" for p in ("prefill", "decode") for d in ("tp", "ep", "dp")),
)
MOST: Mapping[str, float] = {
    **dict.fromkeys(DEGREES, 4096),
    "gpus": 1e6, "prefill_workers": 1024, "decode_workers": 1024,
    "isl": 1e7, "osl": 2**18, "random_range_ratio": 1, "batch_size": 32768, "concurrency": 32768,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The inputs of one measurement. Numbers that a source leaves open are None, texts are ""."""

    dataset: str
    date: str
    gpu: str
    gpus: int | None
    model: str
    quantization: str
    engine: str
    engine_version: str
    serving: str
    disaggregated: str
    spec_decoding: str
    tp: int | None
    pp: int | None
    dp_attention: int | None
    moe_tp: int | None
    moe_ep: int | None
    prefill_workers: int | None
    prefill_tp: int | None
    prefill_ep: int | None
    prefill_dp: int | None
    decode_workers: int | None
    decode_tp: int | None
    decode_ep: int | None
    decode_dp: int | None
    isl: float | None
    osl: float | None
    length_mode: str
    random_range_ratio: float | None
    batch_size: int | None
    concurrency: int | None
    request_rate: float | None


@dataclass(frozen=True)
class Targets:
    """What was measured; None where not printed. Seconds and joules as printed (ms, tokens/s, J/token)."""

    output_tokens_s_gpu: float | None
    tpot_ms_mean: float | None
    tpot_ms_median: float | None
    ttft_ms_mean: float | None
    ttft_ms_median: float | None
    joules_per_output_token: float | None
    power_scope: str


@dataclass(frozen=True)
class Measurement:
    id: str
    split: str
    row: Row
    targets: Targets
    problem: str = ""  # a cell that cannot be read


class CellError(ValueError):
    """A cell that is not what its column needs."""


def number(text: str | None) -> float | None:
    """A finite, non-negative number, or None for an empty cell."""
    if text is None or text.strip() == "":
        return None
    try:
        value = float(text)
    except ValueError:
        raise CellError(f"{text!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise CellError(f"{text!r} is not a finite, non-negative number")
    return value


def rate(text: str | None) -> float | None:
    """Requests per second; "inf", all at once, becomes a rate at which no request waits for another."""
    return ALL_AT_ONCE if text is not None and text.strip().lower() == "inf" else number(text)


def whole(text: str | None) -> int | None:
    value = number(text)
    if value is None:
        return None
    if value != int(value):
        raise CellError(f"{text!r} is not a whole number")
    return int(value)


def bounded(value: float | None, most: float | None) -> float | None:
    if value is not None and most is not None and value > most:
        raise CellError(f"{value:g} is more than can be rehearsed, at most {most:,.0f}")
    return value


_READERS = {"int | None": whole, "float | None": number}


def read_row(cells: Cells) -> Row:
    """Inputs of one line. Raises CellError naming the column."""
    values: dict[str, object] = {}
    for field in fields(Row):
        reader = rate if field.name == "request_rate" else _READERS.get(str(field.type))
        text = cells.get(field.name)
        try:
            values[field.name] = bounded(reader(text), MOST.get(field.name)) if reader else (text or "").strip()
        except CellError as error:
            raise CellError(f"{field.name}: {error}") from None
    return Row(**values)  # type: ignore[arg-type]


def read_targets(cells: Cells) -> Targets:
    values = {f.name: cells.get(f.name) or "" for f in fields(Targets)}
    scope = values.pop("power_scope")
    return Targets(**{name: _target(text) for name, text in values.items()}, power_scope=scope)


def _target(text: str) -> float | None:
    try:
        return number(text)
    except CellError:
        return None


def measurement(cells: Cells) -> Measurement:
    try:
        row, problem = read_row(cells), ""
    except CellError as error:
        row, problem = read_row({}), str(error)
    return Measurement(cells.get("id") or "", cells.get("split") or "", row, read_targets(cells), problem)


def read_csv(path: Path) -> list[Measurement]:
    """Every line of a table with the columns of the packed measurements; missing columns count as empty."""
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as lines:
            return parse(lines, str(path))
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def parse(lines: Iterable[str], name: str) -> list[Measurement]:
    reader = csv.DictReader((line.replace("\0", "") for line in lines), restkey="_rest", restval="")
    if reader.fieldnames is None or "id" not in [column.strip() for column in reader.fieldnames]:
        raise InputError(f"{name}: no column 'id' in the first line; is this a table of measurements?")
    reader.fieldnames = [column.strip() for column in reader.fieldnames]
    limit = csv.field_size_limit(2**31 - 1)  # a cell of any length is one bad cell, not the end of the table
    try:
        return [measurement({k: v for k, v in cells.items() if isinstance(v, str)}) for cells in reader]
    finally:
        csv.field_size_limit(limit)
