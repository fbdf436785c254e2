"""From a workload of the factory file to a stream of requests, in chunks of constant size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.requests import Requests
from tokenworks.spec.demand import Arrivals, Lengths, Workload
from tokenworks.workload import arrivals as processes
from tokenworks.workload import lengths
from tokenworks.workload.trace import Trace
from tokenworks.workload.trace_formats import load_trace

TICKS_PER_S = 10**11
MMPP_DWELL_S = 30.0


def rng_of(seed: int, *stream: int) -> np.random.Generator:
    """Independent generators by (seed, cell, stream …)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *stream))))


def base_rate_s(load: Workload) -> float:
    """Requests per second of the workload as written, before scaling (0 for loads without a rate)."""
    if load.trace is not None:
        return load_trace(load.trace).rate_s
    return load.arrivals.rate_s or 0.0 if load.arrivals else 0.0


def generate(load: Workload, service: int, rate_s: float, horizon_s: float, seed: int, stream: int) -> Requests:
    """All requests of one workload up to the horizon, at ``rate_s`` requests per second, sorted by arrival."""
    rng = rng_of(seed, stream)
    if load.trace is not None:
        made = from_trace(load_trace(load.trace), rate_s, horizon_s, rng)
    else:
        made = synthetic(load, rate_s, horizon_s, rng)
    tenant = rng.integers(0, load.tenants, len(made), dtype=np.int32)
    priority = np.full(len(made), load.priority, np.int8)
    return replace(made, service=np.full(len(made), service, np.int16), tenant=tenant, priority=priority)


def requests(arrival_s: NDArray[np.float64], inputs: NDArray[np.int32], outputs: NDArray[np.int32]) -> Requests:
    """Plain requests without hashes."""
    n = len(arrival_s)
    ticks = np.rint(arrival_s * TICKS_PER_S).astype(np.int64)
    zero64, empty = np.zeros(n, np.int64), np.zeros(0, np.uint64)
    return Requests(
        ticks, inputs, outputs, np.zeros(n, np.int16), np.zeros(n, np.int32), np.full(n, -1, np.int64),
        np.zeros(n, np.int8), zero64, zero64.copy(), np.zeros(n + 1, np.int64), empty, 0,
    )  # fmt: skip


def synthetic(load: Workload, rate_s: float, horizon_s: float, rng: np.random.Generator) -> Requests:
    """Requests of an arrival process with drawn lengths."""
    shape = load.arrivals
    assert shape is not None
    if shape.kind in ("closed-loop", "static", "offline"):
        count = shape.requests or 10 * (shape.clients or 1)
        arrival = np.zeros(count)
    else:
        arrival = _until(_process(shape, rate_s, rng), horizon_s)
        count = len(arrival)
    made = requests(arrival, _draw(load.input_lengths, count, rng), _draw(load.output_lengths, count, rng))
    if shape.think_s:
        think = rng.exponential(shape.think_s, count) * TICKS_PER_S
        made = replace(made, think=think.astype(np.int64))
    return made


def _process(shape: Arrivals, rate_s: float, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    if shape.kind == "gamma":
        return processes.gamma(rate_s, shape.cv, rng)
    if shape.kind == "weibull":
        return processes.weibull(rate_s, shape.cv, rng)
    if shape.kind == "mmpp":
        return processes.mmpp(rate_s, shape.peak_to_mean, MMPP_DWELL_S, rng)
    if shape.kind == "diurnal":
        return processes.diurnal(rate_s, shape.peak_to_mean, rng)
    return processes.poisson(rate_s, rng)


def _until(gaps: Iterator[NDArray[np.float64]], horizon_s: float) -> NDArray[np.float64]:
    parts, clock = [], 0.0
    for chunk in gaps:
        times = clock + np.cumsum(chunk)
        parts.append(times)
        clock = float(times[-1])
        if clock >= horizon_s:
            break
    arrival = np.concatenate(parts)
    return arrival[arrival < horizon_s]


def _draw(shape: Lengths | None, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    if shape is None or shape.kind == "fixed":
        return lengths.fixed(shape.mean if shape else 1024, count)
    if shape.kind == "uniform":
        return lengths.uniform(shape.low or 1, shape.high or int(shape.mean), count, rng)
    return lengths.lognormal(shape.mean, shape.sigma, count, rng)


def from_trace(trace: Trace, rate_s: float, horizon_s: float, rng: np.random.Generator) -> Requests:
    """The trace at another rate with its structure kept: whole copies, each rotated by a random offset and with
    its own hash name space, plus one thinned copy for the remainder; the trace repeats up to the horizon."""
    factor = rate_s / trace.rate_s
    copies = int(factor)
    picks = [_copy(trace, horizon_s, rng, copy, 1.0) for copy in range(copies)]
    if factor - copies > 1e-9:
        picks.append(_copy(trace, horizon_s, rng, copies, factor - copies))
    index = np.concatenate([p[0] for p in picks])
    arrival = np.concatenate([p[1] for p in picks])
    owner = np.repeat(np.arange(len(picks), dtype=np.uint64), [len(p[0]) for p in picks])
    order = np.argsort(arrival, kind="stable")
    index, arrival, owner = index[order], arrival[order], owner[order]
    made = requests(arrival, trace.input_tokens[index], trace.output_tokens[index])
    if not len(trace.block_hash):
        return made
    return _with_hashes(made, trace, index, owner)


def _copy(
    trace: Trace, horizon_s: float, rng: np.random.Generator, copy: int, share: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and times of one copy up to the horizon. The first copy keeps the trace's own start."""
    span = trace.span_s
    offset = 0.0 if copy == 0 and share == 1.0 else float(rng.uniform(0, span))
    rounds = int(np.ceil((horizon_s + offset) / span))
    index = np.tile(np.arange(len(trace)), rounds)
    times = np.tile(trace.arrival_s, rounds) + np.repeat(np.arange(rounds) * span, len(trace)) - offset
    keep = (times >= 0) & (times < horizon_s)
    if share < 1.0:
        keep &= rng.random(len(index)) < share
    return index[keep], times[keep]


def _with_hashes(made: Requests, trace: Trace, index: NDArray[np.int64], owner: NDArray[np.uint64]) -> Requests:
    counts = np.diff(trace.block_start)[index]
    start = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(start[-1]) - np.repeat(start[:-1], counts) + np.repeat(trace.block_start[index], counts)
    hashes = trace.block_hash[place] + (np.repeat(owner, counts) << np.uint64(40))
    return replace(made, block_start=start, block_hash=hashes, hash_block_tokens=trace.hash_block_tokens)


def merge(streams: list[Requests]) -> Requests:
    """One sorted stream of several services, stable by (arrival, stream, index)."""
    if len(streams) == 1:
        return streams[0]
    order = np.argsort(np.concatenate([s.arrival for s in streams]), kind="stable")
    joined = {
        name: np.concatenate([getattr(s, name) for s in streams])[order]
        for name in (
            "arrival",
            "input_tokens",
            "output_tokens",
            "service",
            "tenant",
            "session",
            "priority",
            "timeout",
            "think",
        )
    }
    counts = np.concatenate([np.diff(s.block_start) for s in streams])
    bases = np.concatenate([s.block_start[:-1] + b for s, b in zip(streams, _bases(streams), strict=True)])
    counts, bases = counts[order], bases[order]
    start = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(start[-1]) - np.repeat(start[:-1], counts) + np.repeat(bases, counts)
    hashes = np.concatenate([s.block_hash for s in streams])[place]
    blocks = max(s.hash_block_tokens for s in streams)
    return Requests(**joined, block_start=start, block_hash=hashes, hash_block_tokens=blocks)


def _bases(streams: list[Requests]) -> list[int]:
    sizes = [len(s.block_hash) for s in streams]
    return [sum(sizes[:i]) for i in range(len(sizes))]
