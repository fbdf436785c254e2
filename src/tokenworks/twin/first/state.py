"""The kernel's memory: one array per quantity, indexed by request, rank or worker."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.twin.first.packing import MAX_SEQS, RANKS, Layout, Tables
from tokenworks.twin.statistics import BINS

Ints = NDArray[np.int64]
PRIORITIES = 10
NEVER = (1 << 63) - 1


class Load(NamedTuple):
    """The requests, as given."""

    arrival: Ints  # written in closed loops
    input: Ints
    output: Ints
    service: Ints
    session: Ints
    priority: Ints
    timeout: Ints
    think: Ints
    order: Ints  # requests by arrival; differs from their numbers where clients think


class Seq(NamedTuple):
    """Per request."""

    goal: Ints  # tokens to prefill: the prompt, plus what was produced before a preemption
    stored: Ints  # tokens whose K/V are in blocks
    produced: Ints
    steps: Ints  # decode steps of the present stretch (speculation), in all
    done: Ints  # … of which done
    before: Ints  # tokens produced before the stretch
    held: Ints  # blocks
    chunk: Ints  # prefill tokens in the step under way
    rank: Ints
    first: Ints  # tick of the first token, −1
    finish: Ints
    status: Ints
    preempted: Ints
    after: Ints  # next in the waiting queue


class Rank(NamedTuple):
    """Per attention-DP rank."""

    running: Ints  # (ranks, max_seqs) requests in order of admission
    count: Ints
    free: Ints  # blocks
    head: Ints  # (ranks, priorities) waiting queues
    tail: Ints
    waiting: Ints


class Worker(NamedTuple):
    """Per worker. ``mode``: 0 idle, 1 mixed step under way, 2 leap under way."""

    clock: Ints
    carry: Ints
    joule_carry: Ints
    mode: Ints
    ready: Ints  # tick of its next event
    leap: Ints  # steps of the leap
    base: Ints  # fine cost of the leap's first step, and its growth per step
    slope: Ints
    joule_base: Ints
    joule_slope: Ints
    step: Ints  # steps since it last was idle
    preempted: Ints  # 1 where building the present step preempted: admission is due again at the next boundary
    outstanding: Ints  # waiting + running
    steps: Ints
    decode_steps: Ints
    busy: Ints
    prefill_tokens: Ints
    decode_tokens: Ints
    batch_steps: Ints
    joules: Ints  # dynamic, µJ


class Books(NamedTuple):
    """Per service: counters (columns below), latency histograms and sums, timeline."""

    count: Ints  # (services, 10)
    hist: Ints  # (services, 3, bins) TTFT, TPOT, E2E
    total: Ints  # (services, 3)
    most: Ints  # (services, 3)
    line: NDArray[np.float64]  # (7, services, buckets)
    turn: Ints  # (services,)
    waiting: Ints  # (services,)


ARRIVED, FINISHED, FULL, LONG, TIMED, SLO, INPUT, CACHED, OUTPUT, PREEMPTED = range(10)
L_ARRIVED, L_FINISHED, L_TOKENS, L_WAITING, L_RUNNING, L_BLOCKS, L_JOULES = range(7)


class Clock(NamedTuple):
    """Limits of the run."""

    horizon: int
    bucket: int
    buckets: int
    warmup: int
    clients: int
    max_leap: int
    edges: Ints


def new_seq(n: int) -> Seq:
    zero = lambda: np.zeros(n, np.int64)  # noqa: E731
    never = lambda: np.full(n, -1, np.int64)  # noqa: E731
    return Seq(
        zero(),
        zero(),
        zero(),
        zero(),
        zero(),
        zero(),
        zero(),
        zero(),
        never(),
        never(),
        never(),
        zero(),
        zero(),
        never(),
    )


def new_rank(tables: Tables, layout: Layout) -> Rank:
    model = np.repeat(layout.model, tables.number[layout.model, RANKS])
    count = len(model)
    widest = int(tables.number[:, MAX_SEQS].max())
    queue = np.full((count, PRIORITIES), -1, np.int64)
    zero = np.zeros(count, np.int64)
    return Rank(
        np.zeros((count, widest), np.int64),
        zero,
        tables.number[model, 2].copy(),
        queue,
        queue.copy(),
        zero.copy(),
    )


def new_worker(count: int) -> Worker:
    fields = {name: np.zeros(count, np.int64) for name in Worker._fields}
    fields["ready"][:] = NEVER
    return Worker(**fields)


def new_books(services: int, buckets: int) -> Books:
    return Books(
        np.zeros((services, 10), np.int64),
        np.zeros((services, 3, BINS), np.int64),
        np.zeros((services, 3), np.int64),
        np.zeros((services, 3), np.int64),
        np.zeros((7, services, max(1, buckets))),
        np.zeros(services, np.int64),
        np.zeros(services, np.int64),
    )
