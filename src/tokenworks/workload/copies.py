"""A trace at another rate with its structure kept: whole copies of it, each begun elsewhere, repeated for ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.workload.streams import TICKS_PER_S, at_ticks, bounds, in_ticks, ranges
from tokenworks.workload.trace import Trace

Ints = NDArray[np.int64]
MOST_COPIES = 1_000_000
SPACE_BITS = 32  # of a hash: its id within the trace; above them, the copy


@dataclass(frozen=True)
class Copies:
    """Copies in exact ticks. Copy c is at trace time t + offset[c]; only the last may be thinned."""

    arrival: Ints
    span: int
    offset: Ints
    kept: NDArray[np.bool_]  # requests of the trace that the thinned copy keeps
    thinned: bool

    def place(self, time: int) -> Ints:
        """For each copy, how many requests (counted from the trace's first round) arrive before a time."""
        rounds, rest = np.divmod(time + self.offset, self.span)
        return np.asarray(rounds * len(self.arrival) + np.searchsorted(self.arrival, rest, side="left"))


def copies_of(trace: Trace, rate_s: float, rng: np.random.Generator, offset_s: float) -> Copies:
    """As many whole copies as the rate holds, and a thinned one for the rest. Sessions are thinned as a whole. The
    first whole copy begins at ``offset_s``, the others anywhere. Raises InputError for more copies than can be held."""
    factor = rate_s / trace.rate_s
    if factor > MOST_COPIES:
        raise InputError(
            f"{trace.name} has {trace.rate_s:.3g} requests a second, and {rate_s:.3g} are asked for: more than "
            f"{MOST_COPIES:,} copies of it. Give a busier trace, or arrivals with empirical lengths from this one"
        )
    count = int(factor + 1e-9)
    share = factor - count if factor - count > 1e-9 else 0.0
    span = int(in_ticks(np.array([trace.span_s]))[0])
    offset = rng.integers(0, span, count + (share > 0))
    if count:
        offset[0] = round(offset_s * TICKS_PER_S)
    lots, by_session = rng.random(len(trace)), rng.random(trace.sessions)
    of_session = trace.session >= 0
    lots[of_session] = by_session[trace.session[of_session]]
    return Copies(in_ticks(trace.arrival_s), span, offset, lots < share, share > 0)


def scaled(
    trace: Trace, rate_s: float, horizon_s: float, rng: np.random.Generator, chunk: int, offset_s: float = 0.0
) -> Iterator[Requests]:
    """Requests up to the horizon, about ``chunk`` at a time. Every copy and every round of it has its own sessions
    and its own name space of hashes: copies share nothing."""
    copies = copies_of(trace, rate_s, rng, offset_s)
    horizon = round(horizon_s * TICKS_PER_S) if math.isfinite(horizon_s) else None
    window = max(1, int(chunk / rate_s * TICKS_PER_S))
    time, place = 0, copies.place(0)
    while horizon is None or time < horizon:
        time = time + window if horizon is None else min(horizon, time + window)
        ends = copies.place(time)
        made = _window(trace, copies, place, ends)
        place = ends
        if len(made):
            yield made


def _window(trace: Trace, copies: Copies, starts: Ints, ends: Ints) -> Requests:
    counts = ends - starts
    rounds, index = np.divmod(ranges(starts, counts), len(trace))
    owner = np.repeat(np.arange(len(counts)), counts)
    time = copies.arrival[index] + rounds * copies.span - copies.offset[owner]
    if copies.thinned:
        kept = (owner < len(counts) - 1) | copies.kept[index]
        rounds, index, owner, time = rounds[kept], index[kept], owner[kept], time[kept]
    order = np.argsort(time, kind="stable")
    index, space = index[order], (owner + len(counts) * rounds)[order]
    made = at_ticks(time[order], trace.input_tokens[index], trace.output_tokens[index])
    session = np.where(trace.session[index] >= 0, trace.session[index] + space * trace.sessions, -1)
    made = replace(made, session=session, tenant=trace.tenant[index])
    return _with_hashes(made, trace, index, space) if len(trace.block_hash) else made


def _with_hashes(made: Requests, trace: Trace, index: Ints, space: Ints) -> Requests:
    counts = np.diff(trace.block_start)[index]
    hashes = trace.block_hash[ranges(trace.block_start[index], counts)]
    owners = np.repeat(space, counts).astype(np.uint64) << np.uint64(SPACE_BITS)
    start = bounds(counts)
    return replace(made, block_start=start, block_hash=hashes + owners, hash_block_tokens=trace.hash_block_tokens)
