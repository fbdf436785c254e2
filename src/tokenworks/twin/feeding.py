"""Requests from the outside, in chunks of bounded size, checked and laid out for the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.twin import columns as c
from tokenworks.twin.layout import Ints

CHUNK = 1 << 16
COLUMNS = ("arrival", "input_tokens", "output_tokens", "service", "session", "priority", "timeout", "think")


class Feeder:
    """Yields (chunk, hash starts, hashes) of at most CHUNK requests; raises InputError for what cannot be simulated."""

    def __init__(
        self, requests: Requests | Iterable[Requests], services: int, clients: int, hashed: bool, linked: bool
    ):
        self.source: Iterator[Requests] = iter([requests] if isinstance(requests, Requests) else requests)
        self.services, self.by_the_clock, self.hashed = services, not (clients or linked), hashed
        self.linked = linked  # all are known at once, then
        self.unit_tokens = 0  # of the hashes, 0 before the first chunk that has any
        self.count, self._last = 0, 0
        self._whole = len(requests) if isinstance(requests, Requests) else 0
        self._chunks = self._cut()

    @property
    def length(self) -> int:
        """Requests that a log covers: all that are known to exist."""
        return max(self._whole, self.count)

    def next_chunk(self) -> tuple[Ints, Ints, Ints] | None:
        """The next chunk, or None at the end of the stream."""
        chunk = next(self._chunks, None)
        self.count += len(chunk[0]) if chunk else 0
        return chunk

    def _cut(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        for requests in self.source:
            if len(requests.block_hash) and self.hashed:
                if self.unit_tokens not in (0, requests.hash_block_tokens):
                    raise UnsupportedError("all prompt hashes of a run must cover the same number of tokens")
                self.unit_tokens = requests.hash_block_tokens
            if len(requests.after_start) and not self.linked:
                raise UnsupportedError("requests that follow others must come as one stream, not in pieces")
            most = len(requests) if self.linked else CHUNK
            for start in range(0, len(requests), most):
                yield self._pack(requests, start, min(len(requests), start + most))

    def _pack(self, requests: Requests, start: int, stop: int) -> tuple[Ints, Ints, Ints]:
        chunk = np.empty((stop - start, c.CHUNK_COLUMNS), np.int64)
        for k, name in enumerate(COLUMNS):
            chunk[:, k] = getattr(requests, name)[start:stop]
        self._check(chunk)
        self._last = int(chunk[-1, c.C_ARRIVAL])
        if not self.hashed or not len(requests.block_hash):
            return chunk, np.zeros(stop - start + 1, np.int64), np.zeros(0, np.int64)
        return chunk, *self._hashes(requests, start, stop)

    def _hashes(self, requests: Requests, start: int, stop: int) -> tuple[Ints, Ints]:
        """Hashes of a slice. At most one per full unit of the prompt is kept."""
        bounds = requests.block_start[start : stop + 1].astype(np.int64)
        if (np.diff(bounds) > requests.input_tokens[start:stop] // requests.hash_block_tokens).any():
            raise InputError("a request has more prompt hashes than full blocks of its prompt")
        hashes = np.ascontiguousarray(requests.block_hash[bounds[0] : bounds[-1]]).view(np.int64)
        return bounds - bounds[0], hashes

    def _check(self, chunk: Ints) -> None:
        arrival = chunk[:, c.C_ARRIVAL]
        if self.by_the_clock and (arrival[0] < self._last or (np.diff(arrival) < 0).any()):
            raise InputError("requests must be sorted by arrival")
        if arrival.min() < 0 or chunk[:, c.C_INPUT].min() < 1 or chunk[:, c.C_OUTPUT].min() < 1:
            raise InputError("a request needs an arrival ≥ 0 and at least one input and one output token")
        for column, limit, name in ((c.C_SERVICE, self.services, "service"), (c.C_PRIORITY, c.PRIORITIES, "priority")):
            if chunk[:, column].min() < 0 or chunk[:, column].max() >= limit:
                raise InputError(f"a request's {name} must lie in 0 … {limit - 1}")
        if chunk[:, c.C_TIMEOUT].min() < 0 or chunk[:, c.C_THINK].min() < 0:
            raise InputError("a request's timeout and think time must not be negative")
