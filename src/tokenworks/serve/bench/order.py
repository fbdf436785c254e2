"""Which request is sent when: by the clock, after others, or as soon as a client is free. No clock and no sockets here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.workload.streams import TICKS_PER_S

Due = tuple[float, int]  # (seconds from the start, number of the request)


class Order:
    """Requests by arrival; those that follow others come ``think`` after the last of them has ended. Where a request
    fails, what follows it is never sent."""

    def __init__(self, requests: Requests):
        self._at, self._think = requests.arrival / TICKS_PER_S, requests.think / TICKS_PER_S
        count = len(requests)
        self._waits = np.diff(requests.after_start) if len(requests.after_start) else np.zeros(count, np.int64)
        self._next = [list[int]() for _ in range(count)] if len(requests.after) else []
        self._latest = np.zeros(count)
        owners = np.repeat(np.arange(count), self._waits)
        for before, follower in zip(requests.after.tolist(), owners.tolist(), strict=True):
            self._next[before].append(follower)

    def first(self) -> Iterator[Due]:
        """What waits for nothing."""
        yield from ((float(self._at[i]), int(i)) for i in np.flatnonzero(self._waits == 0))

    def ended(self, number: int, end_s: float, failed: bool) -> Iterator[Due]:
        """What the end of a request brings."""
        if failed or not self._next:
            return
        for follower in self._next[number]:
            self._waits[follower] -= 1
            self._latest[follower] = max(self._latest[follower], end_s)
            if not self._waits[follower]:
                yield max(float(self._at[follower]), float(self._latest[follower] + self._think[follower])), follower


class Clients:
    """A closed loop: so many callers, each with one request at a time, and a pause before it."""

    def __init__(self, requests: Requests, clients: int):
        self._think, self._count = requests.think / TICKS_PER_S, len(requests)
        self._clients, self._sent = clients, 0

    def first(self) -> Iterator[Due]:
        for _ in range(self._clients):
            yield from self._another(0.0)

    def ended(self, number: int, end_s: float, failed: bool) -> Iterator[Due]:
        """The client of any request that ended, also of one that failed, sends the next one."""
        yield from self._another(end_s)

    def _another(self, free_s: float) -> Iterator[Due]:
        if self._sent < self._count:
            number, self._sent = self._sent, self._sent + 1
            yield free_s + float(self._think[number]), number
