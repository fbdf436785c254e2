"""Traces as files of public or plain formats (Azure, BurstGPT, Mooncake, CSV, Parquet), and the shipped ones."""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokenworks.errors import TraceError
from tokenworks.workload.trace import MOONCAKE_BLOCK, Trace, trace_of
from tokenworks.workload.trace_names import FOLDER, trace_place

_COLUMNS = {
    "arrival_s": ("arrival_s", "timestamp", "time", "arrived_at"),
    "input_tokens": ("input_tokens", "contexttokens", "input_length", "request tokens", "prompt_tokens"),
    "output_tokens": (
        "output_tokens",
        "generatedtokens",
        "output_length",
        "response tokens",
        "completion_tokens",
    ),
}


def load_trace(name: str) -> Trace:
    """A shipped trace by id, or a file (.csv, .jsonl, .parquet). Raises TraceError naming file and line."""
    path = trace_place(name)
    if path is None:
        return _shipped(name)
    if path.suffix == ".jsonl":
        return _jsonl(path)
    return _parquet(path) if path.suffix == ".parquet" else _csv(path)


def _shipped(name: str) -> Trace:
    with np.load(FOLDER / f"{name}.npz") as data:
        gaps, inputs, outputs = data["gap_ms"], data["input"], data["output"]
        blocks = data["blocks"] if "blocks" in data else np.zeros(len(gaps), np.int64)
        steps = data["hash_step"] if "hash_step" in data else np.zeros(0, np.int64)
    start = np.concatenate([[0], np.cumsum(blocks, dtype=np.int64)])
    hashes = np.cumsum(steps, dtype=np.int64).astype(np.uint64)
    origin = "Azure LLM inference trace 2023, CC-BY 4.0" if name.startswith("azure") else "Mooncake FAST25, Apache-2.0"
    arrival = np.cumsum(gaps, dtype=np.int64) / 1e3
    return trace_of(name, arrival, inputs, outputs, start, hashes, MOONCAKE_BLOCK, origin)


def _number(path: Path, line: int, key: str, text: Any, lowest: float) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise TraceError(f"{path}:{line}: {key} is {text!r}, not a number") from None
    if not math.isfinite(value) or value < lowest:
        raise TraceError(f"{path}:{line}: {key} is {text}; it must be a finite number of at least {lowest:g}")
    return value


def _rows(
    path: Path, records: Iterable[tuple[int, Mapping[str, Any]]], names: Mapping[str, str], unit_s: float
) -> Trace:
    times, inputs, outputs, starts, hashes = [], [], [], [0], list[int]()
    for line, record in records:
        times.append(_number(path, line, names["arrival_s"], record.get(names["arrival_s"]), 0) * unit_s)
        inputs.append(_number(path, line, names["input_tokens"], record.get(names["input_tokens"]), 1))
        outputs.append(_number(path, line, names["output_tokens"], record.get(names["output_tokens"]), 0))
        hashes.extend(int(h) for h in record.get("hash_ids") or ())
        starts.append(len(hashes))
    if not times:
        raise TraceError(f"{path}: the trace holds no requests")
    order = np.argsort(np.array(times), kind="stable")
    if hashes and (np.diff(times) < 0).any():
        raise TraceError(f"{path}: requests with hash_ids must be sorted by arrival")
    arrival = np.array(times)[order] - min(times)
    start, marks = np.array(starts, np.int64), np.array(hashes, np.uint64)
    return trace_of(
        path.name,
        arrival,
        np.array(inputs)[order],
        np.array(outputs)[order],
        start,
        marks,
        MOONCAKE_BLOCK,
        str(path),
    )


def _csv(path: Path) -> Trace:
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as lines:
        reader = csv.DictReader(lines)
        header = reader.fieldnames or ()
        names = _match(path, list(header))
        records = ((reader.line_num, row) for row in reader)
        if names["arrival_s"].lower() == "timestamp":
            records = ((line, _seconds(path, line, row, names["arrival_s"])) for line, row in records)
        return _rows(path, records, names, 1.0)


def _parquet(path: Path) -> Trace:
    """Columns as in a CSV, arrivals in seconds; `run --requests` writes such a file. Lines are row numbers from 1."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        names = _match(path, parquet.read_schema(path).names)
        table = parquet.read_table(path, columns=list(names.values()))
    except (pa.ArrowInvalid, OSError) as error:
        raise TraceError(f"{path}: not a Parquet file: {error}") from None
    return _rows(path, enumerate(table.to_pylist(), 1), names, 1.0)


def _seconds(path: Path, line: int, row: dict[str, Any], key: str) -> dict[str, Any]:
    """Date-times (Azure) become seconds; plain numbers (BurstGPT) stay."""
    import datetime as dt

    text = str(row.get(key) or "")
    if ":" not in text:
        return row
    try:
        stamp = dt.datetime.fromisoformat(text[:26])
    except ValueError:
        raise TraceError(f"{path}:{line}: {key} is {text!r}, neither a number nor a date and time") from None
    return {**row, key: stamp.replace(tzinfo=dt.UTC).timestamp()}


def _match(path: Path, header: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for wanted, known in _COLUMNS.items():
        column = next((name for name in header if name.strip().lower() in known), None)
        if column is None:
            near = difflib.get_close_matches(wanted, header, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TraceError(f"{path}:1: no column {wanted!r} among {', '.join(header) or 'no columns'}.{hint}")
        found[wanted] = column
    return found


def _jsonl(path: Path) -> Trace:
    names = {"arrival_s": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"}
    return _rows(path, _json_lines(path), names, 1e-3)


def _json_lines(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise TraceError(f"{path}:{number}: not valid JSON: {error.msg}") from None
            if not isinstance(record, dict):
                raise TraceError(f"{path}:{number}: a line must be a JSON object")
            yield number, record
