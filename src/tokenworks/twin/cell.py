"""What the twin is given and what it gives back. Schema only: kernel and reference simulator share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.scaling.autoscale import Memory, Rules, decide
from tokenworks.control.scaling.capacity import DECODE
from tokenworks.control.scaling.power import Budget
from tokenworks.control.scaling.seen import Seen
from tokenworks.physics.worker_model import WorkerModel

ROUND_ROBIN, RANDOM, LEAST_LOADED, POWER_OF_TWO, SESSION, KV_AWARE = range(6)

# status of a request in ``RequestLog.status``
WAITING, FINISHED, REJECTED_QUEUE_FULL, REJECTED_TOO_LONG, TIMED_OUT, IN_SYSTEM = range(6)


@dataclass(frozen=True)
class ServicePlan:
    """One service of a cell. Either ``workers`` (aggregated) or ``prefill`` and ``decode`` pools are given,
    as indices into ``Cell.workers``. A worker belongs to one service."""

    name: str
    workers: tuple[int, ...] = ()
    prefill: tuple[int, ...] = ()
    decode: tuple[int, ...] = ()
    policy: int = LEAST_LOADED
    kv_weight_256: int = 256  # weight of a matched block in KV-aware routing, in 1/256
    max_waiting: int = 0  # 0: no limit
    slo_ttft_ticks: int = 0  # 0: none
    slo_tpot_ticks: int = 0
    slo_e2e_ticks: int = 0


@dataclass(frozen=True)
class PowerCap:
    """A shared limit in watts over the board power of some workers; steers their clock levels at control ticks.

    At a tick the controller looks at the mean power of its workers in the last interval: above ``watts`` all go one level down,
    below ``watts``·``raise_below`` (integer percent) one level up. ``steps`` change ``watts`` from a tick on.
    """

    name: str
    workers: tuple[int, ...]
    watts: float  # infinite: no limit
    raise_below_percent: int = 92
    steps: tuple[tuple[int, float], ...] = ()  # (tick, watts from then on), in order of ticks: the limit changes


@dataclass(frozen=True)
class ScalingPlan:
    """The replicas of one pool follow ``decide`` at its looks, every ``rules.every_s``. ``rules.role`` names the pool of
    the service; its first workers are those that are up."""

    service: int
    rules: Rules
    decide: Callable[[Rules, Memory, Seen], Memory] = decide


@dataclass(frozen=True)
class Cell:
    """A router domain with its workers; what a process simulates on its own."""

    models: tuple[WorkerModel, ...]
    workers: tuple[int, ...]  # model index of each worker
    services: tuple[ServicePlan, ...]
    caps: tuple[PowerCap, ...] = ()
    seed: int = 0
    scaling: tuple[ScalingPlan, ...] = ()
    budget: Budget | None = None  # that its pools share, in the order of ``scaling``; None: replicas at will

    def pool(self, of: ScalingPlan) -> tuple[int, ...]:
        """The workers that it scales; the first of them are those that are up."""
        plan = self.services[of.service]
        return plan.decode if of.rules.role == DECODE else (*plan.workers, *plan.prefill)


@dataclass(frozen=True)
class TwinOptions:
    horizon_ticks: int = 0  # 0: until every request has left
    control_ticks: int = 10**11  # 1 s
    clients: int = 0  # closed loop with this many clients; 0: open loop
    bucket_ticks: int = 10**11  # of the timeline
    buckets: int = 0  # length of the timeline; 0: none
    warmup_ticks: int = 0  # requests that arrive earlier are simulated but left out of latency statistics
    record: bool = False  # keep a RequestLog
    trace_ticks: tuple[int, int] = (0, 0)  # window whose steps are kept in a StepLog; empty: none
    trace_capacity: int = 200_000  # steps and leaps that fit; those beyond are counted
    allocate: bool = False  # divide seconds and joules over requests (docs/decisions/0011)
    chunk_rows: int = 1 << 16  # requests that are handed over at a time as they leave


@dataclass(frozen=True)
class RequestLog:
    """Per request, in order of the input; times in ticks, −1 where the event did not happen."""

    arrival: NDArray[np.int64]
    first_token: NDArray[np.int64]
    finish: NDArray[np.int64]
    status: NDArray[np.int8]
    produced: NDArray[np.int32]
    cached: NDArray[np.int32]  # prompt tokens taken from a prefix cache
    preemptions: NDArray[np.int32]
    worker: NDArray[np.int32]  # the (last) worker that served it


@dataclass(frozen=True)
class Allocation:
    """Whose seconds and joules a run was (docs/decisions/0011). First per request, in order of the input; −1: none. Of a run
    that hands its requests over, the chunks have the rows of requests and the result has those of workers.

    Per worker Σ ticks of requests + lost + idle = end of the run, and Σ energy + lost + idle = dynamic + static µJ.
    """

    prefill_worker: NDArray[np.int32]  # of a prefill pool
    worker: NDArray[np.int32]  # of any other pool
    ticks: NDArray[np.int64]  # of worker time, in all
    prefill_ticks: NDArray[np.int64]  # of them, at ``prefill_worker``
    dynamic_uj: NDArray[np.int64]
    energy_uj: NDArray[np.int64]  # dynamic, and its part of the static draw of stepping workers; board scope
    idle_ticks: NDArray[np.int64]  # per worker: nothing ran; a few ticks of rounding
    lost_ticks: NDArray[np.int64]  # per worker: prefills that preemption threw away, or made to be computed again
    idle_uj: NDArray[np.int64]
    lost_uj: NDArray[np.int64]


@dataclass(frozen=True)
class Departed:
    """Some of a run's requests, in the order in which they left; those still inside at its end follow, by number."""

    number: NDArray[np.int64]  # of each request in the input
    log: RequestLog
    shares: Allocation | None  # without rows of workers
    end_ticks: int = 0  # of the run; 0: it goes on

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class StepLog:
    """Steps and leaps (equal batches in a row) that end in the traced window, in order of their ends.
    Counts are sums over the worker's ranks; pairs and keys have shape (rows, 3), by context class (`physics.worker_model`)."""

    worker: NDArray[np.int64]
    start: NDArray[np.int64]  # ticks
    end: NDArray[np.int64]
    steps: NDArray[np.int64]  # 1, or those of a leap
    mixed: NDArray[np.bool_]  # with prefill
    sequences: NDArray[np.int64]  # that decode
    tokens: NDArray[np.int64]  # of prompts
    sampled: NDArray[np.int64]  # sequences that sample a token in a step
    line: NDArray[np.int64]  # of the StepTable, the one that took longest
    pairs: NDArray[np.int64]  # Σ keys of the prompts' tokens
    keys: NDArray[np.int64]  # Σ keys of the decode sequences, over all steps of the leap
    lost: int  # that did not fit


@dataclass(frozen=True)
class ServiceStats:
    """Counters of one service; latencies as counts over ``statistics.EDGES`` plus exact integer sums."""

    arrived: int
    finished: int
    rejected_queue_full: int
    rejected_too_long: int
    timed_out: int
    in_system: int
    within_slo: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    preemptions: int
    ttft_counts: NDArray[np.int64]
    tpot_counts: NDArray[np.int64]
    e2e_counts: NDArray[np.int64]
    ttft_sum: int  # ticks; over requests outside the warm-up
    tpot_sum: int  # ticks, each request's TPOT rounded down to a tick
    e2e_sum: int
    ttft_max: int
    tpot_max: int
    e2e_max: int


@dataclass(frozen=True)
class WorkerStats:
    """Per worker: arrays over the cell's workers."""

    steps: NDArray[np.int64]
    decode_steps: NDArray[np.int64]  # pure decode steps
    busy_ticks: NDArray[np.int64]
    prefill_tokens: NDArray[np.int64]  # computed, recompute included
    decode_tokens: NDArray[np.int64]
    dynamic_uj: NDArray[np.int64]
    static_uj: NDArray[np.int64]
    batch_steps: NDArray[np.int64]  # Σ over steps of decode sequences
    reload_ticks: NDArray[
        np.int64
    ]  # Σ over steps and ranks of what reloads from KV tiers took; ranks reload at the same time
    level_ticks: NDArray[np.int64]  # (workers, levels) busy ticks by clock level
    off_ticks: NDArray[np.int64]  # replicas that were scaled away: no draw


@dataclass(frozen=True)
class TwinTimeline:
    """Per service and bucket, shape (services, buckets)."""

    arrived: NDArray[np.int64]
    finished: NDArray[np.int64]
    output_tokens: NDArray[
        np.int64
    ]  # booked at the end of the step or leap that produced them, spread evenly over a leap
    waiting: NDArray[np.int64]  # at the end of the bucket
    running: NDArray[np.int64]
    blocks: NDArray[np.int64]  # in use at the end of the bucket
    joules: NDArray[np.float64]  # dynamic + static + idle, board scope
    static_joules: NDArray[np.float64]  # draw of stepping workers that does not depend on what they step
    idle_joules: NDArray[np.float64]  # draw of workers that do not step


# state of a replica in ``ReplicaLog.state``
READY, LOADING, DRAINING, OFF = range(4)


@dataclass(frozen=True)
class ReplicaLog:
    """What became of replicas that are scaled, and when; in order of ticks, workers of one tick by their numbers. At tick 0
    every one of them is named."""

    tick: NDArray[np.int64]
    worker: NDArray[np.int64]
    state: NDArray[np.int64]


@dataclass(frozen=True)
class TwinResult:
    end_ticks: int
    services: tuple[ServiceStats, ...]
    workers: WorkerStats
    timeline: TwinTimeline | None
    log: RequestLog | None
    steps: StepLog | None = None
    allocation: Allocation | None = None
    replicas: ReplicaLog | None = None  # of a cell that scales
    order: NDArray[np.int64] | None = (
        None  # with a log: numbers of the requests that came, as they follow in `Departed`
    )
