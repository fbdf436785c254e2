"""Request traces: those shipped with the package, and files of public or plain formats."""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import TraceError

FOLDER = Path(__file__).parent / "traces"
MOONCAKE_BLOCK = 512  # tokens of one hash block in the Mooncake release
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


@dataclass(frozen=True)
class Trace:
    """A recorded stream of requests, sorted by arrival; hashes as in events.Requests."""

    name: str
    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    block_start: NDArray[np.int64]
    block_hash: NDArray[np.uint64]
    hash_block_tokens: int
    source: str

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def span_s(self) -> float:
        """Length of the recording: the last arrival plus one mean gap."""
        count = len(self)
        return float(self.arrival_s[-1]) * count / max(1, count - 1) if count > 1 else 1.0

    @property
    def rate_s(self) -> float:
        return len(self) / self.span_s


def trace_ids() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def load_trace(name: str) -> Trace:
    """A shipped trace by id, or a file (.csv, .jsonl). Raises TraceError naming file and line."""
    if name in trace_ids():
        return _shipped(name)
    path = Path(name)
    if not path.exists():
        close = difflib.get_close_matches(name, trace_ids(), n=2, cutoff=0.4) or trace_ids()
        raise TraceError(f"no trace or file {name!r}. Did you mean {', '.join(close)}?")
    if path.suffix == ".jsonl":
        return _jsonl(path)
    return _csv(path)


def _shipped(name: str) -> Trace:
    with np.load(FOLDER / f"{name}.npz") as data:
        gaps, inputs, outputs = data["gap_ms"], data["input"], data["output"]
        blocks = data["blocks"] if "blocks" in data else np.zeros(len(gaps), np.int64)
        steps = data["hash_step"] if "hash_step" in data else np.zeros(0, np.int64)
    start = np.concatenate([[0], np.cumsum(blocks, dtype=np.int64)])
    hashes = np.cumsum(steps, dtype=np.int64).astype(np.uint64)
    origin = "Azure LLM inference trace 2023, CC-BY 4.0" if name.startswith("azure") else "Mooncake FAST25, Apache-2.0"
    arrival = np.cumsum(gaps, dtype=np.int64) / 1e3
    return _trace(name, arrival, inputs, outputs, start, hashes, MOONCAKE_BLOCK, origin)


def _trace(
    name: str, arrival: Any, inputs: Any, outputs: Any, start: Any, hashes: Any, block: int, origin: str
) -> Trace:
    inputs = np.maximum(1, np.asarray(inputs, np.int64)).astype(np.int32)
    outputs = np.maximum(1, np.asarray(outputs, np.int64)).astype(np.int32)
    start, hashes = _full_blocks(np.asarray(start, np.int64), hashes, inputs // block)
    return Trace(name, np.asarray(arrival, float), inputs, outputs, start, hashes, block, origin)


def _full_blocks(start: Any, hashes: Any, most: Any) -> tuple[Any, Any]:
    """Hashes of full blocks alone: a prompt's last, partly filled block cannot be reused."""
    counts = np.diff(start)
    kept = np.minimum(counts, most)
    inside = np.arange(start[-1]) - np.repeat(start[:-1], counts) < np.repeat(kept, counts)
    return np.concatenate([[0], np.cumsum(kept)]), hashes[inside]


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
    return _trace(
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
