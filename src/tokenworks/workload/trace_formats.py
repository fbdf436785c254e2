"""Traces as files of public or plain formats (Azure, BurstGPT, Mooncake, CSV, Parquet), and the shipped ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tokenworks.errors import TraceError
from tokenworks.workload.mix import ClientMix
from tokenworks.workload.servegen import read_mix, unpacked
from tokenworks.workload.trace import Columns, Trace, trace_of
from tokenworks.workload.trace_names import FOLDER, mix_place, trace_place
from tokenworks.workload.trace_rows import Findings, Record, Rows, match
from tokenworks.workload.trace_table import read_table

LONGEST_SPAN_S = 300 * 86_400.0  # with the mean gap after the last request
MOST_CELL = 10_000_000  # characters of a CSV file


def load_trace(name: str) -> Trace:
    """A shipped trace by id, or a file (.csv, .jsonl, .parquet). Raises TraceError naming file and line."""
    path = trace_place(name)
    if path is None:
        return _shipped(name)
    state = path.stat()
    return _file(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _file(path: Path, changed_ns: int, size: int) -> Trace:
    """A file is read once, and again when it has changed."""
    read = {".jsonl": _jsonl, ".parquet": _parquet}.get(path.suffix, _csv)
    trace = trace_of(path.name, read(path), str(path))
    if trace.span_s > LONGEST_SPAN_S:
        raise TraceError(f"{path}: {len(trace)} requests in {trace.span_s / 86_400:,.0f} days are too few for a trace")
    return trace


def load_mix(name: str) -> ClientMix:
    """A shipped client mix by id, or a folder of ServeGen files. Raises TraceError naming file and line."""
    path = mix_place(name)
    return _shipped_mix(name) if path is None else read_mix(path)


@lru_cache(maxsize=8)
def _shipped(name: str) -> Trace:
    with np.load(FOLDER / f"{name}.npz") as data:
        gaps, inputs, outputs = data["gap_ms"], data["input"], data["output"]
        blocks = data["blocks"] if "blocks" in data else np.zeros(len(gaps), np.int64)
        steps = data["hash_step"] if "hash_step" in data else np.zeros(0, np.int64)
    origin = "Azure LLM inference trace 2023, CC-BY 4.0" if name.startswith("azure") else "Mooncake FAST25, Apache-2.0"
    arrival, hashes = np.cumsum(gaps, dtype=np.int64) / 1e3, np.cumsum(steps, dtype=np.int64)
    said = Columns(arrival, inputs.astype(np.int64), outputs.astype(np.int64), blocks.astype(np.int64), hashes)
    return trace_of(name, said, origin)


@lru_cache(maxsize=8)
def _shipped_mix(name: str) -> ClientMix:
    with np.load(FOLDER / f"{name}.npz") as data:
        return unpacked(name, dict(data), "ServeGen client statistics, Apache-2.0")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Hashes of a long prompt are a long cell; the limit is one of the whole process, and is put back."""
    before = csv.field_size_limit(MOST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv(path: Path) -> Columns:
    with _long_cells(), open(path, newline="", encoding="utf-8-sig", errors="replace") as lines:
        reader = csv.DictReader(lines)
        try:
            names = match(path, list(reader.fieldnames or ()))
            quick = read_table(path, names)
            return quick or Rows(path, names).read((reader.line_num, row) for row in reader)
        except csv.Error as error:
            raise TraceError(f"{path}:{reader.line_num + 1}: not a CSV file: {error}") from None


def _parquet(path: Path) -> Columns:
    """Columns as in a CSV, arrivals in seconds; `run --requests` writes such a file. Lines are row numbers from 1."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = match(path, file.schema_arrow.names)
            batches = file.iter_batches(columns=sorted(set(names.values())))
            return Rows(path, names).read(enumerate((row for batch in batches for row in batch.to_pylist()), 1))
    except (pa.ArrowInvalid, OSError) as error:
        raise TraceError(f"{path}: not a Parquet file: {error}") from None


def _jsonl(path: Path) -> Columns:
    """Mooncake: timestamps in milliseconds."""
    names = {"arrival_s": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"}
    names |= {"hash_ids": "hash_ids", "session": "session_id", "hash_block_tokens": "block_size", "tenant": "tenant"}
    rows = Rows(path, names, 1e-3)
    return rows.read(_json_lines(path, rows.findings))


def _json_lines(path: Path, findings: Findings) -> Iterator[tuple[int, Record]]:
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            record = _json(line, number, findings) if line.strip() else None
            if record is not None:
                yield number, record


def _json(line: str, number: int, findings: Findings) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except RecursionError:
        findings.add(number, "not valid JSON: nested too deep")
        return None
    except ValueError as error:
        findings.add(number, f"not valid JSON: {getattr(error, 'msg', None) or 'a number of too many digits'}")
        return None
    if not isinstance(record, dict):
        findings.add(number, "a line must be a JSON object")
        return None
    return record
