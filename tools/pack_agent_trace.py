"""Re-encode the recorded agent sessions compactly: `pack_agent_trace.py REQUESTS_COMPACT_CSV_GZ OUT_NPZ`.

Input: one row per request or marker of a sub-agent, with a JSON column `extra` (columns as in the data folder's own
description). Output: one compressed NumPy archive of integers, counts as differences where those are smaller. Left
out are the index of a request (its order), the number of prompt blocks (input // 64), blocks seen anywhere before,
and of a marker the totals of its requests. Times that are not known are −1.
"""

import csv
import gzip
import json
import sys
from typing import Any

import numpy as np

STOPS = ("", "tool_use", "end_turn")
Row = dict[str, Any]


def whole(value: float, unit: float) -> int:
    """A time in whole units; refuses what the unit cannot hold."""
    scaled = round(value * unit)
    if abs(scaled - value * unit) > 1e-6:
        raise SystemExit(f"{value} is no whole number of 1/{unit:g}")
    return scaled


def read(path: str) -> list[Row]:
    with gzip.open(path, "rt", newline="") as lines:
        rows: list[Row] = list(csv.DictReader(lines))
    for row in rows:
        row["extra"] = json.loads(row["extra"])
    return rows


def times(rows: list[Row], key: str, unit: float) -> np.ndarray:
    found = [whole(row["extra"][key], unit) if key in row["extra"] else -1 for row in rows]
    return np.array(found, np.int32)


def agents(rows: list[Row]) -> list[int]:
    """0 for the agent of the session, k for its k-th sub-agent."""
    found, count = list[int](), 0
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or before["trace"] != row["trace"]:
            count = 0
        count += row["type"] == "subagent"
        found.append(count if row["depth"] != "0" else 0)
    return found


def packed(rows: list[Row]) -> dict[str, np.ndarray]:
    traces, models = list(dict.fromkeys(r["trace"] for r in rows)), sorted({r["model"] for r in rows} - {""})
    owner = [agent for agent, r in zip(agents(rows), rows, strict=True) if r["type"] != "subagent"]
    sent = [r for r in rows if r["type"] != "subagent"]
    marks = [r for r in rows if r["type"] == "subagent"]
    heads = [next(r for r in rows if r["trace"] == t) for t in traces]
    column = lambda key, some: np.array([int(r[key]) for r in some], np.int64)  # noqa: E731
    inputs, prefix = column("in_tokens", sent), column("prefix_blocks_matching_prev_requests", sent)
    return {
        "trace": np.array([int(t.removeprefix("trace_")) for t in traces], np.int16),
        "tool_tokens": column("tool_tokens", heads).astype(np.int32),
        "system_tokens": column("system_tokens", heads).astype(np.int32),
        "models": np.array(models),
        "session": np.array([traces.index(r["trace"]) for r in sent], np.int16),
        "agent": np.array(owner, np.int8),
        "second_step": np.diff([whole(float(r["t_s"]), 1) for r in sent], prepend=0).astype(np.int32),
        "streaming": np.array([r["type"] == "s" for r in sent]),
        "model": np.array([models.index(r["model"]) for r in sent], np.int8),
        "stop": np.array([STOPS.index(r["extra"]["stop"]) for r in sent], np.int8),
        "input_step": np.diff(inputs, prepend=0).astype(np.int32),
        "output": column("out_tokens", sent).astype(np.int32),
        "prefix_step": (prefix - np.concatenate([[0], inputs[:-1] // 64])).astype(np.int32),
        "api_cs": times(sent, "api_time", 100),
        "think_ds": times(sent, "think_time", 10),
        "ttft_cs": times(sent, "ttft", 100),
        "sub_session": np.array([traces.index(r["trace"]) for r in marks], np.int16),
        "sub_noted_ms": np.array([whole(float(r["t_s"]), 1000) for r in marks], np.int64),
        "sub_duration_ms": np.array(
            [-1 if r["extra"]["duration_ms"] is None else r["extra"]["duration_ms"] for r in marks]
        ),
    }


def main() -> None:
    np.savez_compressed(sys.argv[2], **packed(read(sys.argv[1])))


main()
