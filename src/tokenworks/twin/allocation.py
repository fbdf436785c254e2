"""From the meters of workers and the shares of requests to an `Allocation` whose sums are those of the run, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import ConservationError
from tokenworks.twin import columns as c
from tokenworks.twin.cell import Allocation, Cell, WorkerStats
from tokenworks.twin.layout import Ints
from tokenworks.twin.memory import State
from tokenworks.twin.static_draw import MICROWATTS_TICKS_PER_MICROJOULE, by_weight, draws_of, microjoules_upto


def at_workers(st: State) -> Ints:
    """Slots of the requests that are at a worker, in order of their numbers."""
    phase = st.slot[:, c.PHASE]
    inside = np.flatnonzero((phase == c.QUEUED) | (phase == c.FILLING) | (phase == c.DECODING))
    found: Ints = inside[np.argsort(st.slot[inside, c.ID])]
    return found


class Division:
    """Divides a run's seconds and joules over its requests as they leave, chunk after chunk in their order."""

    def __init__(self, cell: Cell):
        self._cell, self._draw = cell, draws_of(cell)
        workers = len(cell.workers)
        self._ticks, self._dynamic, self._static = (np.zeros(workers, np.int64) for _ in range(3))  # given so far
        self._active = self._lost = np.zeros(workers, np.int64)

    @property
    def waits(self) -> bool:
        """Whether a worker's draw is known at the end only: then all requests must be divided at once, after ``know``."""
        return bool((self._draw < 0).any())

    def know(self, st: State) -> None:
        """The run has ended: what its workers drew while they stepped, and the work that was lost."""
        self._active, self._lost = _active_microjoules(self._cell, st.level_ticks), st.meter[:, c.M_LOST].copy()

    def divide(self, rows: Ints) -> Allocation:
        """``rows``: LOG_COLUMNS of requests that left. Without rows of workers."""
        share = np.ascontiguousarray(rows[:, c.L_SHARE : c.L_SHARE + c.SHARE_COLUMNS].T)
        worker, ticks, dynamic = (share[k :: c.A_WIDE] for k in (c.A_WORKER, c.A_TICKS, c.A_UJ))
        worker = worker - 1
        static = np.array([self._give(*part) for part in zip(worker, ticks, dynamic, strict=True)])
        none = np.zeros(0, np.int64)
        return Allocation(
            prefill_worker=worker[0].astype(np.int32),
            worker=worker[1].astype(np.int32),
            ticks=ticks.sum(axis=0),
            prefill_ticks=ticks[0].copy(),
            dynamic_uj=dynamic.sum(axis=0),
            energy_uj=(dynamic + static).sum(axis=0),
            idle_ticks=none,
            lost_ticks=none,
            idle_uj=none,
            lost_uj=none,
        )

    def _give(self, worker: Ints, ticks: Ints, dynamic: Ints) -> Ints:
        """Static draw of each request for its time at a worker (−1: none); what it got there is counted."""
        if not (worker >= 0).any():
            return np.zeros_like(ticks)
        order, edge = by_worker(worker, len(self._ticks))
        begin, some = edge[:-1], np.flatnonzero(np.diff(edge))
        order = order[edge[0] :]  # without those at no worker
        edge, begin = edge - edge[0], begin - edge[0]
        at = worker[order]
        done = np.cumsum(ticks[order])
        before = np.concatenate([[0], done])[begin]
        done += (self._ticks - before)[at]
        upto = microjoules_upto(done, self._draw[at])
        for w in some[self._draw[some] < 0]:
            mine = slice(edge[w], edge[w + 1])
            weights = np.diff(done[mine], prepend=self._ticks[w])
            upto[mine] = np.cumsum(by_weight(int(self._active[w]), np.append(weights, self._lost[w]))[:-1])
        parts = np.diff(upto, prepend=0)
        parts[begin[some]] = upto[begin[some]] - self._static[some]
        self._ticks[some], self._static[some] = done[edge[some + 1] - 1], upto[edge[some + 1] - 1]
        heat = np.cumsum(dynamic[order])
        self._dynamic[some] += np.diff(heat[edge[some + 1] - 1], prepend=0)
        static = np.zeros_like(ticks)
        static[order] = parts
        return static

    def rest(self, st: State, stats: WorkerStats, end: int) -> Allocation:
        """Lost work and idleness by worker, without rows of requests. Raises ConservationError where parts and whole differ."""
        _check(st, self._ticks, self._dynamic)
        known = microjoules_upto(self._ticks + self._lost, self._draw) - self._static
        lost_static = np.where(self._draw < 0, self._lost_of_mean(), known)
        lost_uj = st.meter[:, c.M_WIDE + c.M_LOST] + lost_static
        shares = Division(self._cell).divide(np.zeros((0, c.LOG_COLUMNS), np.int64))
        return replace(
            shares,
            idle_ticks=end - self._ticks - self._lost,
            lost_ticks=self._lost,
            idle_uj=stats.dynamic_uj + stats.static_uj - self._dynamic - self._static - lost_uj,
            lost_uj=lost_uj,
        )

    def _lost_of_mean(self) -> Ints:
        """What lost work drew of the mean: with the requests, all that the worker drew."""
        took = (self._ticks + self._lost) > 0
        found: Ints = np.where(took, self._active - self._static, 0)
        return found


def with_workers(shares: Allocation, rest: Allocation) -> Allocation:
    """Rows of requests of the one, rows of workers of the other."""
    return replace(
        shares,
        idle_ticks=rest.idle_ticks,
        lost_ticks=rest.lost_ticks,
        idle_uj=rest.idle_uj,
        lost_uj=rest.lost_uj,
    )


def _active_microjoules(cell: Cell, level_ticks: Ints) -> Ints:
    """Static draw of each worker while it steps."""
    drawn = np.zeros(len(cell.workers), np.int64)
    for w, m in enumerate(cell.workers):
        levels = zip(cell.models[m].levels, level_ticks[w], strict=False)
        total = sum(round(level.active_w * 10**6) * int(ticks) for level, ticks in levels)
        drawn[w] = total // MICROWATTS_TICKS_PER_MICROJOULE
    return drawn


def by_worker(worker: Ints, workers: int) -> tuple[Ints, Ints]:
    """(rows of requests, worker after worker; where each worker's begin, and the end). −1 is nobody."""
    small = worker.astype(np.int16) if workers < 1 << 15 else worker  # sorted many times faster
    order = np.argsort(small, kind="stable")
    return order, np.searchsorted(small[order], np.arange(workers + 1).astype(small.dtype))


def _check(st: State, ticks: Ints, dynamic: Ints) -> None:
    """What requests got, what was lost and what is left over, in fine units, is what the worker did."""
    for q, given, column, carry in ((0, ticks, c.BUSY, c.CARRY), (1, dynamic, c.JOULES, c.JOULE_CARRY)):
        m = st.meter[:, q * c.M_WIDE : (q + 1) * c.M_WIDE]
        went = ((given + m[:, c.M_LOST]) << c.FINE_BITS) + m[:, c.M_SETTLED] + m[:, c.M_LOST_FINE] + m[:, c.M_REST]
        if not np.array_equal(went, (st.worker[:, column] << c.FINE_BITS) + st.worker[:, carry]):  # modulo 2**64
            raise ConservationError(f"the {('seconds', 'joules')[q]} of requests and of workers differ")
