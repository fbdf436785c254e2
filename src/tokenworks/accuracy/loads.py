"""From a published row to the requests of its experiment: how many, when, how long."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.accuracy.rows import Row
from tokenworks.catalog.engines import version_number
from tokenworks.physics.deployment import Deployment

Ints = NDArray[np.int64]
MAX_PROMPTS = 6000  # longer closed loops are cut: their means no longer change


@dataclass(frozen=True)
class Load:
    """Requests of one replica. ``clients`` 0 = open loop or all at once. The first ``skip`` requests are not measured."""

    arrival_s: NDArray[np.float64]
    input_tokens: Ints
    output_tokens: Ints
    clients: int
    skip: int = 0
    steady: bool = False  # rates by Little's law over the measured requests, not over the whole run
    turnaround_s: float = 0.0  # of a client: from the last token to its next request at the engine


def load_of(row: Row, deployment: Deployment, mode: str, harness: str, replicas: float, assumed: list[str]) -> Load:
    """The requests of one attention-DP rank of one replica, as the row's harness sends them."""
    isl = row.isl
    if isl is None:
        isl = _isl_of_task(row, harness)
        assumed.append(f"input length {isl:.0f} by task")
    ranks = deployment.dp
    if mode == "static":
        count = max(1, round((row.batch_size or 1) / replicas / ranks))
        return Load(np.zeros(count), _fixed(isl, count), _fixed(row.osl or 1, count), 0)
    if mode == "offline":
        count = max(1, round(_offline_requests(row, isl, assumed) / replicas / ranks))
        return Load(np.zeros(count), _fixed(isl, count), _fixed(row.osl or 1, count), 0)
    if mode == "open":
        return _open(row, isl, replicas * ranks)
    return _closed(row, isl, replicas * ranks, harness)


def _isl_of_task(row: Row, harness: str) -> float:
    """Mean prompt tokens of the harness's first rule for this model and length of answers."""
    rules = catalog.load("harnesses", harness).extra["input_tokens"]
    fits = (
        rule
        for rule in rules
        if row.model in rule.get("models", [row.model]) and (row.osl or 1) < rule.get("osl_below", math.inf)
    )
    return float(next(fits)["value"])


def _offline_requests(row: Row, isl: float, assumed: list[str]) -> int:
    entry = catalog.load("harnesses", "trtllm-offline")
    known = entry.extra["requests"].get(f"{isl:.0f}/{row.osl:.0f}")
    if known is None:
        assumed.append("number of requests")
        return int(entry["requests_default"])
    return int(known)


def _closed(row: Row, isl: float, parts: float, harness: str) -> Load:
    clients = max(1, round((row.concurrency or 1) / parts))
    entry = catalog.load("harnesses", harness or "steady")
    burst = bool(entry["burst"])
    each = int(sweep_of(row, harness).get("prompts_per_client", entry["prompts_per_client"]))
    most = int(entry.get("most_prompts") or MAX_PROMPTS)
    count = min(each * clients, max(most, 4 * clients))
    count = max(count, 3 * clients)
    rng = _rng(row)
    inputs = _lengths(row, isl, count, rng)
    outputs = _lengths(row, row.osl or 1, count, rng)
    if burst:
        turnaround = float(entry.get("turnaround_s") or 0.0)
        return Load(np.zeros(count), inputs, outputs, clients, turnaround_s=turnaround)
    arrival = np.zeros(count)
    # The clients start one after the other over about one request's life, so that no burst is measured.
    arrival[:clients] = np.arange(clients) * (float(row.osl or 1) * 0.02 / clients)
    return Load(arrival, inputs, outputs, clients, skip=clients, steady=True)


def sweep_of(row: Row, harness: str) -> dict[str, Any]:
    """The first of the harness's sweeps whose keys all match the row; empty where it knows none."""
    sweeps = catalog.load("harnesses", harness).extra.get("sweeps", ()) if harness else ()
    for sweep in sweeps:
        late = version_number(row.engine_version) >= version_number(str(sweep.get("from_version", "0.0")))
        if late and all(getattr(row, key) == sweep[key] for key in ("engine", "gpu") if key in sweep):
            return dict(sweep)
    return {}


def _open(row: Row, isl: float, parts: float) -> Load:
    entry = catalog.load("harnesses", "open-loop")
    count = int(entry.extra["datasets_own"].get(row.dataset, {}).get("requests", entry["requests"]))
    rng = _rng(row)
    rate = (row.request_rate or 1.0) / parts
    arrival = np.cumsum(rng.exponential(1.0 / rate, count))
    draw = _conversation if _from_conversations(row) else _fixed_by
    return Load(arrival, draw(isl, count, rng), draw(row.osl or 1, count, rng), 0)


def _from_conversations(row: Row) -> bool:
    """Whether the harness drew this row's prompts and answers from recorded conversations."""
    known = catalog.load("harnesses", "open-loop").extra["conversations"]
    return any((row.dataset, row.isl, row.osl) == (c["dataset"], c["isl"], c["osl"]) for c in known)


def _conversation(mean: float, count: int, rng: np.random.Generator) -> Ints:
    return np.maximum(1, np.rint(rng.exponential(mean, count))).astype(np.int64)


def _fixed_by(value: float, count: int, rng: np.random.Generator) -> Ints:
    del rng
    return _fixed(value, count)


def _rng(row: Row) -> np.random.Generator:
    key = f"{row.isl} {row.osl} {row.concurrency} {row.request_rate}"
    return np.random.default_rng(zlib.crc32(key.encode()))


def _fixed(value: float, count: int) -> Ints:
    return np.full(count, max(1, round(value)), dtype=np.int64)


def _lengths(row: Row, nominal: float, count: int, rng: np.random.Generator) -> Ints:
    if row.length_mode != "max_of_random_range":
        return _fixed(nominal, count)
    ratio = row.random_range_ratio if row.random_range_ratio is not None else _range_ratio(row.dataset)
    return rng.integers(max(1, int(ratio * nominal)), max(1, int(nominal)) + 1, count)


def _range_ratio(dataset: str) -> float:
    """The lower end of random lengths as a share of the nominal one, where the row does not say."""
    entry = catalog.load("harnesses", "inferencex")
    return float(entry.extra["range_ratios"].get(dataset, entry["range_ratio"]))


def whole_batch(load: Load) -> int:
    """Prompt tokens of a static batch: it runs in one step."""
    return int(load.input_tokens.sum())
