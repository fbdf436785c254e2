"""From a workload of the factory file to a stream of requests, in chunks of bounded size.

Everything that is drawn has a generator of its own, by (seed, workload, purpose): what is asked first, or in which
chunks, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.spec.demand import COUNTED, Arrivals, Lengths, Workload
from tokenworks.workload import arrivals as renewal
from tokenworks.workload import lengths, modulated
from tokenworks.workload.agents.stream import agent_requests, calls_per_run
from tokenworks.workload.arrivals import Floats
from tokenworks.workload.copies import scaled
from tokenworks.workload.lengths import Draw, Histogram, Ints
from tokenworks.workload.mix import mixed
from tokenworks.workload.sessions import Generators, conversations
from tokenworks.workload.streams import TICKS_PER_S, at_ticks, joined, merged, requests, until
from tokenworks.workload.trace import Trace
from tokenworks.workload.trace_formats import load_mix, load_trace

__all__ = ["base_rate_s", "from_trace", "generate", "merge", "merged", "requests", "rng_of", "stream"]

CHUNK = 65_536
SESSION_CHUNK = 8_192  # of conversations: they carry many hashes
DEFAULT_TOKENS = 1024  # of prompts and answers that the file says nothing about
WORKLOAD_BITS = 56  # of a hash: below them what a workload uses itself, above them its number
ARRIVAL, INPUT, OUTPUT, TENANT, THINK, TURNS, GAPS, PROMPTS = range(8)  # what generators are for


def rng_of(seed: int, *stream: int) -> np.random.Generator:
    """Independent generators by (seed, cell, stream …)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=stream)))


def base_rate_s(load: Workload) -> float:
    """Requests per second of the workload as written, before scaling (0 for loads without a rate)."""
    if load.trace is not None:
        return load_trace(load.trace).rate_s
    if load.mix is not None:
        return load_mix(load.mix).rate_s
    if load.agents is not None:
        return (load.runs_s or 0.0) * calls_per_run(load.agents)
    return load.arrivals.rate_s or 0.0 if load.arrivals else 0.0


def generate(
    load: Workload, service: int, rate_s: float, horizon_s: float, seed: int, number: int, start_s: float = 0.0
) -> Requests:
    """All requests of one workload up to the horizon, sorted by arrival."""
    parts = list(stream(load, service, rate_s, horizon_s, seed, number, start_s))
    return joined(parts) if parts else none()


def none() -> Requests:
    """No requests."""
    return at_ticks(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))


def stream(
    load: Workload,
    service: int,
    rate_s: float,
    horizon_s: float,
    seed: int,
    number: int,
    start_s: float = 0.0,
    chunk: int = CHUNK,
) -> Iterator[Requests]:
    """Requests of workload ``number`` up to the horizon (inf: without end), at ``rate_s`` requests per second in the
    mean, sorted by arrival. The run begins ``start_s`` seconds after midnight."""
    rng = _generators(seed, number)
    if load.agents is not None:
        made = agent_requests(load, rate_s, seed, number, rng(ARRIVAL))
    else:
        made = _source(load, rate_s, horizon_s, start_s, chunk, rng)
    tenants = rng(TENANT)
    for given in until(made, horizon_s):
        yield owned(given, load, service, number, tenants)


def owned(given: Requests, load: Workload, service: int, number: int, tenants: np.random.Generator) -> Requests:
    """The requests as those of workload ``number``: service, tenants, priority, hashes in a name space of their own."""
    n, space = len(given), np.uint64(number % 128 << WORKLOAD_BITS)
    return replace(
        given,
        service=np.full(n, service, np.int16),
        tenant=_tenant(given, load.tenants, tenants),
        priority=np.full(n, load.priority, np.int8),
        block_hash=given.block_hash + space,
    )


def _generators(seed: int, number: int) -> Callable[[int], np.random.Generator]:
    return lambda purpose: rng_of(seed, number, purpose)


def _source(
    load: Workload, rate_s: float, horizon_s: float, start_s: float, chunk: int,
    rng: Callable[[int], np.random.Generator],
) -> Iterator[Requests]:  # fmt: skip
    if load.trace is not None:
        return scaled(load_trace(load.trace), rate_s, horizon_s, rng(ARRIVAL), chunk, load.offset_s)
    if load.mix is not None:
        return mixed(load_mix(load.mix), rate_s, horizon_s, rng(ARRIVAL), chunk, load.offset_s)
    shape = load.arrivals
    assert shape is not None
    draw = _pairs(load, rng)
    if shape.kind in COUNTED:
        return _counted(shape, draw, rng(THINK), chunk)
    if load.sessions is None:
        return (requests(times, *draw(len(times))) for times in _times(shape, rate_s, start_s, chunk, rng(ARRIVAL)))
    turns = load.sessions.turns
    begins = _times(shape, rate_s / turns, start_s, max(1, int(min(chunk, SESSION_CHUNK) / turns)), rng(ARRIVAL))
    return conversations(load.sessions, begins, draw, Generators(rng(TURNS), rng(GAPS), rng(PROMPTS)))


def _times(shape: Arrivals, rate_s: float, start_s: float, chunk: int, rng: np.random.Generator) -> Iterator[Floats]:
    if shape.kind == "gamma":
        return renewal.gamma(rate_s, shape.cv, rng, chunk)
    if shape.kind == "weibull":
        return renewal.weibull(rate_s, shape.cv, rng, chunk)
    if shape.kind == "mmpp":
        return modulated.mmpp(rate_s, shape.peak_to_mean, shape.dwell_s, rng, chunk)
    if shape.kind == "diurnal":
        return modulated.diurnal(rate_s, shape.peak_to_mean, rng, chunk, start_s)
    if shape.kind == "weekly":
        return modulated.weekly(rate_s, shape.peak_to_mean, shape.days, rng, chunk, start_s)
    return renewal.poisson(rate_s, rng, chunk)


def _counted(
    shape: Arrivals, draw: Callable[[int], tuple[Ints, Ints]], rng: np.random.Generator, chunk: int
) -> Iterator[Requests]:
    """Requests that are there from the beginning; callers of a closed loop think before they send one."""
    left = shape.requests or 10 * (shape.clients or 1)
    while left:
        n = min(left, chunk)
        made = at_ticks(np.zeros(n, np.int64), *draw(n))
        if shape.think_s:
            made = replace(made, think=(rng.exponential(shape.think_s, n) * TICKS_PER_S).astype(np.int64))
        yield made
        left -= n


def _pairs(load: Workload, rng: Callable[[int], np.random.Generator]) -> Callable[[int], tuple[Ints, Ints]]:
    """Draws prompts and answers; from one and the same trace as the pairs that they are there."""
    a, b = load.input_lengths, load.output_lengths
    if a is not None and b is not None and a.trace and a.trace == b.trace:
        trace, picks = load_trace(a.trace), rng(INPUT)
        rows = Histogram(np.arange(len(trace)))

        def pairs(count: int) -> tuple[Ints, Ints]:
            row = rows.draw(count, picks)
            return trace.input_tokens[row], trace.output_tokens[row]

        return pairs
    inputs, outputs = _drawer(a, "input_tokens", rng(INPUT)), _drawer(b, "output_tokens", rng(OUTPUT))
    return lambda count: (inputs(count), outputs(count))


def _drawer(shape: Lengths | None, column: str, rng: np.random.Generator) -> Draw:
    if shape is None:
        return lambda n: lengths.fixed(DEFAULT_TOKENS, n)
    if shape.kind == "fixed":
        return lambda n: lengths.fixed(shape.mean, n)
    if shape.kind == "lognormal":
        return lambda n: lengths.lognormal(shape.mean, shape.sigma, n, rng)
    if shape.kind == "uniform":
        low, high = shape.low or 1, shape.high or 1
        return lambda n: lengths.uniform(low, high, n, rng)
    known = (
        Histogram(getattr(load_trace(shape.trace), column)) if shape.trace else Histogram(shape.values, shape.weights)
    )
    return lambda n: known.draw(n, rng)


def _tenant(given: Requests, tenants: int, rng: np.random.Generator) -> Ints:
    """The tenant that a trace or mix names; of a session always the same one; else drawn."""
    drawn = rng.integers(0, tenants, len(given)).astype(np.int32)
    by_session = (given.session % tenants).astype(np.int32)
    return np.where(given.tenant >= 0, given.tenant, np.where(given.session >= 0, by_session, drawn))


def from_trace(trace: Trace, rate_s: float, horizon_s: float, rng: np.random.Generator) -> Requests:
    """All requests of a trace at another rate, see `scaled`."""
    parts = list(scaled(trace, rate_s, horizon_s, rng, CHUNK))
    return joined(parts) if parts else none()


def merge(streams: Sequence[Requests]) -> Requests:
    """One sorted stream of several, stable by (arrival, stream, index)."""
    parts = list(merged([iter([one]) for one in streams]))
    return joined(parts) if parts else none()
