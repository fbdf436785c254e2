"""The life of replicas that are scaled: when each began to load, took requests, drained, was off."""

from __future__ import annotations

import numpy as np

from tokenworks.twin.cell import OFF, ReplicaLog
from tokenworks.twin.layout import Ints


class Life:
    """Written in any order of workers; ticks of one worker rise."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int]] = []
        self._off: list[tuple[int, int, int]] = []  # worker, from, until

    def write(self, tick: int, worker: int, state: int) -> None:
        self._rows.append((tick, worker, state))

    def was_off(self, worker: int, since: int, until: int) -> None:
        """Known when it ends. What began at tick 0 was written then."""
        self._off.append((worker, since, until))
        if since:
            self.write(since, worker, OFF)

    @property
    def log(self) -> ReplicaLog | None:
        if not self._rows:
            return None
        rows = sorted(enumerate(self._rows), key=lambda row: (*row[1][:2], row[0]))
        tick, worker, state = np.array([row for _, row in rows], np.int64).T
        return ReplicaLog(tick, worker, state)

    def off_by_bucket(self, size: int, buckets: int) -> dict[int, Ints]:
        """Ticks off by worker, where there are any, and bucket."""
        edges = np.arange(buckets + 1) * size
        found: dict[int, Ints] = {}
        for worker, since, until in self._off:
            upto = np.clip(edges, since, until) - since
            found[worker] = found.get(worker, 0) + np.diff(upto)
        return found
