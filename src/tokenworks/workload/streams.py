"""Streams of requests as chunks: cut, joined, merged by arrival, in memory that does not grow with the stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests

TICKS_PER_S = 10**11
NEVER = 7e18  # ticks: 2.2 years, and a run lasts 2 at most
HASHES = ("block_start", "block_hash", "hash_block_tokens")
LINKS = ("after_start", "after")
COLUMNS = tuple(name for name in Requests.__dataclass_fields__ if name not in HASHES + LINKS)


def in_ticks(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole ticks; what lies beyond every run is put at `NEVER`, so that sums with it still hold 63 bits."""
    return np.asarray(np.rint(np.minimum(seconds, NEVER / TICKS_PER_S) * TICKS_PER_S).astype(np.int64))


def requests(arrival_s: NDArray[np.float64], inputs: NDArray[np.int32], outputs: NDArray[np.int32]) -> Requests:
    """Plain requests without hashes."""
    return at_ticks(in_ticks(arrival_s), inputs, outputs)


def at_ticks(arrival: NDArray[np.int64], inputs: NDArray[np.int32], outputs: NDArray[np.int32]) -> Requests:
    """Plain requests by arrival in ticks, of nobody yet."""
    n = len(arrival)
    zero64, empty = np.zeros(n, np.int64), np.zeros(0, np.uint64)
    return Requests(
        arrival, inputs, outputs, np.zeros(n, np.int16), np.full(n, -1, np.int32), np.full(n, -1, np.int64),
        np.zeros(n, np.int8), zero64, zero64.copy(), np.zeros(n + 1, np.int64), empty, 0,
    )  # fmt: skip


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1 … of every range, one after the other."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(counts.sum()) + np.repeat(starts - before, counts))


def bounds(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each range begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(counts)])


def chosen(made: Requests, rows: NDArray[np.int64]) -> Requests:
    """Some rows, in this order."""
    counts = np.diff(made.block_start)[rows]
    hashes = made.block_hash[ranges(made.block_start[:-1][rows], counts)]
    columns = {name: getattr(made, name)[rows] for name in COLUMNS}
    start, after = _links(made, rows)
    return replace(made, **columns, after_start=start, after=after, block_start=bounds(counts), block_hash=hashes)


def _links(made: Requests, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who follows whom among some rows. Raises InputError where a row follows one that is left out."""
    if not len(made.after_start):
        return made.after_start, made.after
    counts = np.diff(made.after_start)[rows]
    place = np.full(len(made), -1)
    place[rows] = np.arange(len(rows))
    after = place[made.after[ranges(made.after_start[:-1][rows], counts)]]
    if (after < 0).any():
        raise InputError("requests that follow others must be taken with those that they follow")
    return bounds(counts), after


def part(made: Requests, start: int, stop: int) -> Requests:
    """Rows from ``start`` to before ``stop``, without a copy."""
    if len(made.after_start):
        return chosen(made, np.arange(start, stop))
    edges = made.block_start[start : stop + 1]
    columns = {name: getattr(made, name)[start:stop] for name in COLUMNS}
    hashes = made.block_hash[edges[0] : edges[-1]]
    return replace(made, **columns, block_start=edges - edges[0], block_hash=hashes)


def joined(parts: Sequence[Requests]) -> Requests:
    """One chunk after the other. Raises InputError where their hashes cover different numbers of tokens."""
    if len(parts) == 1:
        return parts[0]
    sizes = {p.hash_block_tokens for p in parts if len(p.block_hash)}
    if len(sizes) > 1:
        found = " and ".join(str(size) for size in sorted(sizes))
        raise InputError(f"prompt hashes of one run must cover the same number of tokens, not {found} (sessions.block)")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS}
    start = bounds(np.concatenate([np.diff(p.block_start) for p in parts]))
    hashes = np.concatenate([p.block_hash for p in parts])
    made = Requests(**columns, block_start=start, block_hash=hashes, hash_block_tokens=max(sizes, default=0))
    if not any(len(p.after_start) for p in parts):
        return made
    follows = [np.diff(p.after_start) if len(p.after_start) else np.zeros(len(p), np.int64) for p in parts]
    before = np.cumsum([0, *(len(p) for p in parts[:-1])])
    after = np.concatenate([p.after + first for p, first in zip(parts, before, strict=True)])
    return replace(made, after_start=bounds(np.concatenate(follows)), after=after)


def regrouped(stream: Iterable[Requests], size: int) -> Iterator[Requests]:
    """The same requests in chunks of ``size``, the last one shorter."""
    held, count = list[Requests](), 0
    for chunk in stream:
        held.append(chunk)
        count += len(chunk)
        if count >= size:
            whole = joined(held)
            cut = count - count % size
            yield from (part(whole, at, at + size) for at in range(0, cut, size))
            held, count = [part(whole, cut, count)], count - cut
    if count:
        yield joined(held)


def head(stream: Iterable[Requests], count: int) -> Requests | None:
    """The first ``count`` requests, or all; none where there are none."""
    held, found = list[Requests](), 0
    for chunk in stream:
        held.append(part(chunk, 0, min(len(chunk), count - found)))
        found += len(held[-1])
        if found >= count:
            break
    return joined(held) if found else None


def until(stream: Iterable[Requests], horizon_s: float) -> Iterator[Requests]:
    """What arrives before the horizon."""
    horizon = round(horizon_s * TICKS_PER_S) if math.isfinite(horizon_s) else np.iinfo(np.int64).max
    for given in stream:
        if given.arrival[-1] < horizon:
            yield given
            continue
        stop = int(np.searchsorted(given.arrival, horizon, side="left"))
        if stop:
            yield part(given, 0, stop)
        return


class _Source:
    """A stream with what of it is loaded and not yet taken."""

    def __init__(self, stream: Iterator[Requests]):
        self.stream, self.loaded = stream, None
        self.refill()

    loaded: Requests | None

    def refill(self) -> None:
        """Load the next chunk that holds anything."""
        self.loaded = next((chunk for chunk in self.stream if len(chunk)), None)

    @property
    def first(self) -> int:
        assert self.loaded is not None
        return int(self.loaded.arrival[0])

    @property
    def last(self) -> int:
        assert self.loaded is not None
        return int(self.loaded.arrival[-1])

    def take(self, time: int, inclusive: bool) -> Requests:
        """What arrives before ``time`` (or at it)."""
        assert self.loaded is not None
        stop = int(np.searchsorted(self.loaded.arrival, time, side="right" if inclusive else "left"))
        taken, size = part(self.loaded, 0, stop), len(self.loaded)
        self.loaded = part(self.loaded, stop, size) if stop < size else None
        return taken


def merged(streams: Sequence[Iterator[Requests]]) -> Iterator[Requests]:
    """One sorted stream of several, stable by (arrival, stream, index). Holds one chunk of each."""
    sources = [source for source in map(_Source, streams) if source.loaded is not None]
    while len(sources) > 1:
        # as far as the stream that is loaded least far: later chunks of it may hold anything after that
        limit = min(range(len(sources)), key=lambda i: (sources[i].last, i))
        last = sources[limit].last
        parts = [source.take(last, i <= limit) for i, source in enumerate(sources) if source.first <= last]
        taken = joined(parts)
        yield chosen(taken, np.argsort(taken.arrival, kind="stable"))
        for source in sources:
            if source.loaded is None:
                source.refill()
        sources = [source for source in sources if source.loaded is not None]
    for source in sources:
        while source.loaded is not None:
            yield source.loaded
            source.refill()
