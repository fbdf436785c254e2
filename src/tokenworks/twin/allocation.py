"""From the meters of workers and the shares of requests to an `Allocation` whose sums are those of the run, exactly."""

from __future__ import annotations

import numpy as np

from tokenworks.errors import ConservationError
from tokenworks.twin import columns as c
from tokenworks.twin.cell import Allocation, Cell, WorkerStats
from tokenworks.twin.layout import Ints
from tokenworks.twin.memory import State

WEIGHT_BITS = 51  # weights are cut to so many bits: with DIGIT more they are below 2**62
DIGIT = 10
MICROWATTS_TICKS_PER_MICROJOULE = 10**11


def at_workers(st: State) -> Ints:
    """Slots of the requests that are at a worker, in order of their numbers."""
    phase = st.slot[:, c.PHASE]
    inside = np.flatnonzero((phase == c.QUEUED) | (phase == c.FILLING) | (phase == c.DECODING))
    found: Ints = inside[np.argsort(st.slot[inside, c.ID])]
    return found


def allocation_of(cell: Cell, st: State, share: Ints, stats: WorkerStats, end: int) -> Allocation:
    """``share``: rows of requests (SHARE_COLUMNS). Raises ConservationError where parts and whole differ."""
    ticks = np.array([share[:, c.A_TICKS], share[:, c.A_WIDE + c.A_TICKS]])
    dynamic = np.array([share[:, c.A_UJ], share[:, c.A_WIDE + c.A_UJ]])
    worker = np.array([share[:, c.A_WORKER], share[:, c.A_WIDE + c.A_WORKER]]) - 1
    lost_ticks, lost_dynamic = st.meter[:, c.M_LOST].copy(), st.meter[:, c.M_WIDE + c.M_LOST].copy()
    active = _active_microjoules(cell, stats)
    static, lost_static = _static(worker, ticks, lost_ticks, active)
    taken = [sums_by(worker, of, len(active)) for of in (ticks, dynamic, static)]
    _check(st, taken[0], taken[1])
    lost_uj = lost_dynamic + lost_static
    return Allocation(
        prefill_worker=worker[0].astype(np.int32),
        worker=worker[1].astype(np.int32),
        ticks=ticks.sum(axis=0),
        prefill_ticks=ticks[0],
        dynamic_uj=dynamic.sum(axis=0),
        energy_uj=(dynamic + static).sum(axis=0),
        idle_ticks=end - taken[0] - lost_ticks,
        lost_ticks=lost_ticks,
        idle_uj=stats.dynamic_uj + stats.static_uj - taken[1] - taken[2] - lost_uj,
        lost_uj=lost_uj,
    )


def sums_by(worker: Ints, values: Ints, workers: int) -> Ints:
    """Exact sums by worker (−1: of nobody) of arrays of one shape, modulo 2**64."""
    total = np.zeros(workers, np.int64)
    for at, row in zip(worker, values, strict=True):
        order, edge = by_worker(at, workers)
        done = np.concatenate([[0], np.cumsum(row[order])])
        total += done[edge[1:]] - done[edge[:-1]]
    return total


def _active_microjoules(cell: Cell, stats: WorkerStats) -> Ints:
    """Static draw of each worker while it steps."""
    drawn = np.zeros(len(cell.workers), np.int64)
    for w, m in enumerate(cell.workers):
        levels = zip(cell.models[m].levels, stats.level_ticks[w], strict=False)
        total = sum(round(level.active_w * 10**6) * int(ticks) for level, ticks in levels)
        drawn[w] = total // MICROWATTS_TICKS_PER_MICROJOULE
    return drawn


def _static(worker: Ints, ticks: Ints, lost_ticks: Ints, active: Ints) -> tuple[Ints, Ints]:
    """Static draw while stepping goes by worker time, in order of requests: (of requests, in the shape of ``ticks``; of
    lost work). A worker is of a prefill pool or not, so it appears in one of the two rows."""
    static, lost = np.zeros_like(ticks), np.zeros_like(lost_ticks)
    for kind in range(2):
        order, edge = by_worker(worker[kind], len(active))
        for w in np.flatnonzero(np.diff(edge)):
            rows = order[edge[w] : edge[w + 1]]
            parts = by_weight(int(active[w]), np.append(ticks[kind, rows], lost_ticks[w]))
            static[kind, rows], lost[w] = parts[:-1], parts[-1]
    return static, lost


def by_worker(worker: Ints, workers: int) -> tuple[Ints, Ints]:
    """(rows of requests, worker after worker; where each worker's begin, and the end). −1 is nobody."""
    small = worker.astype(np.int16) if workers < 1 << 15 else worker  # sorted many times faster
    order = np.argsort(small, kind="stable")
    return order, np.searchsorted(small[order], np.arange(workers + 1).astype(small.dtype))


def by_weight(total: int, weights: Ints) -> Ints:
    """Whole parts of a total ≥ 0 in proportion to weights ≥ 0, in their order: differences of rounded-down running sums, so that
    the parts add up. Nothing where all weights are 0.

    >>> by_weight(10, np.array([1, 1, 1])).tolist()
    [3, 3, 4]
    """
    done = np.cumsum(weights)
    whole = int(done[-1])
    if whole == 0:
        return np.zeros_like(weights)
    shift = max(0, whole.bit_length() - WEIGHT_BITS)
    done >>= shift
    whole >>= shift
    upto, rest = np.zeros_like(done), np.zeros_like(done)
    for place in range(0, 64, DIGIT)[::-1]:  # long division: the product needs more than 63 bits
        digit = (total >> place) & ((1 << DIGIT) - 1)
        if digit or rest.any():
            quotient, rest = np.divmod((rest << DIGIT) + digit * done, whole)
            upto = (upto << DIGIT) + quotient
        else:
            upto <<= DIGIT
    parts: Ints = np.diff(upto, prepend=0)
    return parts


def _check(st: State, ticks: Ints, dynamic: Ints) -> None:
    """What requests got, what was lost and what is left over, in fine units, is what the worker did."""
    for q, given, column, carry in ((0, ticks, c.BUSY, c.CARRY), (1, dynamic, c.JOULES, c.JOULE_CARRY)):
        m = st.meter[:, q * c.M_WIDE : (q + 1) * c.M_WIDE]
        went = ((given + m[:, c.M_LOST]) << c.FINE_BITS) + m[:, c.M_SETTLED] + m[:, c.M_LOST_FINE] + m[:, c.M_REST]
        if not np.array_equal(went, (st.worker[:, column] << c.FINE_BITS) + st.worker[:, carry]):  # modulo 2**64
            raise ConservationError(f"the {('seconds', 'joules')[q]} of requests and of workers differ")
