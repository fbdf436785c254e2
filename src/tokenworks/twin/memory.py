"""The kernel's memory: what a run keeps between events and between chunks of requests.

Everything that grows (requests in the system, prefix nodes, hash pages) lives in slots that are recycled; where slots run out
the kernel comes back and `grow_rows` doubles them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.twin import columns as c
from tokenworks.twin.layout import Ints, Tables
from tokenworks.twin.statistics import BINS, EDGES

Floats = NDArray[np.float64]


class State(NamedTuple):
    """Workers, ranks and the requests inside them."""

    g: Ints  # scalars of the run
    worker: Ints  # (workers, WORKER_COLUMNS)
    ready: Ints  # (workers,) tick of the next step or leap end
    rank: Ints  # (ranks, RANK_COLUMNS)
    queue: Ints  # (ranks, PRIORITIES, 2) head and tail of the waiting queues
    heap: Ints  # (ranks, 3, max_seqs, 2) (key, slot): next finishes, next crossings of limits 1 and 2
    phase: Ints  # (ranks, widest block) decode sequences by OFF modulo block
    slot: Ints  # (slots, REQUEST_COLUMNS)
    level_ticks: Ints  # (workers, levels)
    meter: Ints  # (workers, METER_COLUMNS)
    own: Ints  # (slots, OWN_COLUMNS) shares of requests in the system; one row where nothing is allocated


class Books(NamedTuple):
    """Counters, histograms, timeline, log."""

    service: Ints  # (services, SERVICE_COLUMNS)
    hist: Ints  # (services, 3, bins)
    total: Ints  # (services, 3)
    most: Ints  # (services, 3)
    line: Ints  # (T_BUSY + variants, services, buckets)
    edges: Ints
    log: Ints  # (rows, LOG_COLUMNS) requests that left since the log was last taken away; (0, …) without one
    steps: Ints  # (capacity, STEP_COLUMNS): steps and leaps of the traced window
    ended: Ints  # (slots,) requests that left since linked ones were last looked at


class Cache(NamedTuple):
    """Prefix caches of all ranks."""

    node: Ints  # (nodes, NODE_COLUMNS)
    table: NDArray[np.int32]  # heads of chains (node + 1, 0: none), a power of two
    tier: Ints  # (ranks, tiers, TIER_COLUMNS)
    page: Ints  # (pages, 2, PAGE_UNITS) hashes of waiting and running requests, and the nodes that they hold
    page_next: Ints


class Agenda(NamedTuple):
    """Requests to come, and who has to be woken."""

    chunk: Ints  # (n, CHUNK_COLUMNS)
    hash_start: Ints  # (n + 1,)
    hashes: Ints
    pending: Ints  # heap of (tick, request, slot): clients' next requests; (tick, request, request): linked ones
    moving: Ints  # (slots, 3) … KV transfers under way
    woken: Ints  # (workers,)
    times: Ints  # tournament over ready
    link_start: Ints  # (requests + 1,) linked requests: where the followers of each begin in ``link``
    link: Ints
    missing: Ints  # (requests,) predecessors that have not left


class Caps(NamedTuple):
    """Power caps."""

    start: Ints  # (caps + 1,)
    member: Ints
    watts: Floats  # in force
    percent: Ints
    owed: Floats  # microjoules drawn above the limit that have not been saved since
    step_end: Ints  # (caps,) where the steps of a cap end in the two lists that follow
    step_tick: Ints
    step_watts: Floats
    step_next: Ints  # (caps,) the next step of a cap
    active_w: Floats  # (variants,)
    idle_w: Floats  # (workers,)
    seen: Ints  # (workers, levels) level ticks at the last tick
    seen_off: Ints  # (workers,) ticks that each had been off by then


def new_state(tables: Tables, worker: Ints, slots: int, allocates: bool) -> State:
    number = tables.number[worker[:, c.VARIANT]]
    owner = np.repeat(np.arange(len(worker)), worker[:, c.RANK_COUNT])
    rank = np.zeros((len(owner), c.RANK_COLUMNS), np.int64)
    rank[:, c.FREE] = number[owner, c.BLOCKS]
    rank[:, c.RANK_WORKER] = owner
    for column in (c.RUN_HEAD, c.RUN_TAIL, c.FILL_HEAD, c.FILL_TAIL):
        rank[:, column] = -1
    return State(
        np.zeros(c.SCALARS, np.int64),
        worker,
        np.full(len(worker), c.NEVER, np.int64),
        rank,
        np.full((len(owner), c.PRIORITIES, 2), -1, np.int64),
        np.zeros((len(owner), 3, int(number[:, c.MAX_SEQS].max()) + 1, 2), np.int64),
        np.zeros((len(owner), int(number[:, c.BLOCK].max())), np.int64),
        _slots(slots),
        np.zeros((len(worker), int(number[:, c.LEVELS].max())), np.int64),
        np.zeros((len(worker), c.METER_COLUMNS), np.int64),
        np.zeros((slots if allocates else 1, c.OWN_COLUMNS), np.int64),
    )


def _slots(count: int) -> Ints:
    slot = np.zeros((count, c.REQUEST_COLUMNS), np.int64)
    slot[:, c.NEXT] = np.arange(1, count + 1)
    slot[-1, c.NEXT] = -1
    return slot


def new_books(service: Ints, variants: int, buckets: int, steps: int, slots: int) -> Books:
    services = len(service)
    return Books(
        service,
        np.zeros((services, 3, BINS), np.int64),
        np.zeros((services, 3), np.int64),
        np.zeros((services, 3), np.int64),
        np.zeros((c.T_BUSY + variants if buckets else 0, services, buckets), np.int64),
        EDGES,
        np.zeros((0, c.LOG_COLUMNS), np.int64),
        np.zeros((steps, c.STEP_COLUMNS), np.int64),
        np.zeros(slots, np.int64),
    )


def grow_list(rows: Ints, head: int, link: int) -> tuple[Ints, int]:
    """Twice the rows; the new ones go to the front of the free list that is chained through column ``link``."""
    old = len(rows)
    grown = np.zeros((2 * old, *rows.shape[1:]), np.int64)
    grown[:old] = rows
    grown[old:, link] = np.arange(old + 1, 2 * old + 1)
    grown[-1, link] = head
    return grown, old


def grow_rows(rows: Ints, count: int) -> Ints:
    grown = np.zeros((count, *rows.shape[1:]), np.int64)
    grown[: len(rows)] = rows
    return grown
