"""Waiting queues: one linked list per rank and priority, requests linked through ``seq.after``."""

from __future__ import annotations

from numba import njit

from tokenworks.twin.cell import TIMED_OUT
from tokenworks.twin.first.state import PRIORITIES, TIMED


@njit(cache=True)
def push_back(g, r, seq, rank, load):  # type: ignore[no-untyped-def]
    p = load.priority[r]
    seq.after[r] = -1
    if rank.head[g, p] < 0:
        rank.head[g, p] = r
    else:
        seq.after[rank.tail[g, p]] = r
    rank.tail[g, p] = r
    rank.waiting[g] += 1


@njit(cache=True)
def push_front(g, r, seq, rank, load):  # type: ignore[no-untyped-def]
    p = load.priority[r]
    seq.after[r] = rank.head[g, p]
    if rank.head[g, p] < 0:
        rank.tail[g, p] = r
    rank.head[g, p] = r
    rank.waiting[g] += 1


@njit(cache=True)
def front(g, rank):  # type: ignore[no-untyped-def]
    """The next request of rank ``g``, or −1."""
    if rank.waiting[g] == 0:
        return -1
    for p in range(PRIORITIES):
        if rank.head[g, p] >= 0:
            return rank.head[g, p]
    return -1


@njit(cache=True)
def pop_front(g, seq, rank):  # type: ignore[no-untyped-def]
    for p in range(PRIORITIES):
        r = rank.head[g, p]
        if r >= 0:
            rank.head[g, p] = seq.after[r]
            rank.waiting[g] -= 1
            return


@njit(cache=True)
def drop_expired(g, w, now, seq, rank, worker, books, load):  # type: ignore[no-untyped-def]
    """Drop heads of the queue that gave up; a request that already produced a token waits on."""
    while True:
        r = front(g, rank)
        if r < 0 or load.timeout[r] == 0 or seq.first[r] >= 0 or load.arrival[r] + load.timeout[r] > now:
            return
        pop_front(g, seq, rank)
        seq.status[r] = TIMED_OUT
        seq.finish[r] = now
        service = load.service[r]
        books.waiting[service] -= 1
        books.count[service, TIMED] += 1
        worker.outstanding[w] -= 1
