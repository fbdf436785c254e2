"""Waiting queues (one linked list per rank and priority), the list of running sequences, the prefills under way."""

from __future__ import annotations

from tokenworks.twin.columns import (
    FILL_HEAD,
    FILL_TAIL,
    NEXT,
    OLDER,
    ORDER,
    PREVIOUS,
    PRIORITIES,
    PRIORITY,
    RUN_HEAD,
    RUN_TAIL,
    RUNNING,
    TURN,
    WAITING_N,
    YOUNGER,
)
from tokenworks.twin.compiled import compiled, hot


@hot
def head_of(queue, rank, g):  # type: ignore[no-untyped-def]
    """The next request of rank ``g``, or −1."""
    if rank[g, WAITING_N] == 0:
        return -1
    for p in range(PRIORITIES):
        if queue[g, p, 0] >= 0:
            return queue[g, p, 0]
    return -1


@hot
def enqueue(queue, rank, slots, g, s):  # type: ignore[no-untyped-def]
    """Behind all of its priority. True where it is now the head of the rank's queue."""
    p = slots[s, PRIORITY]
    slots[s, NEXT] = -1
    if queue[g, p, 0] < 0:
        queue[g, p, 0] = s
    else:
        slots[queue[g, p, 1], NEXT] = s
    queue[g, p, 1] = s
    rank[g, WAITING_N] += 1
    return head_of(queue, rank, g) == s


@compiled
def enqueue_front(queue, rank, slots, g, s):  # type: ignore[no-untyped-def]
    p = slots[s, PRIORITY]
    slots[s, NEXT] = queue[g, p, 0]
    if queue[g, p, 0] < 0:
        queue[g, p, 1] = s
    queue[g, p, 0] = s
    rank[g, WAITING_N] += 1


@hot
def dequeue(queue, rank, slots, g, s):  # type: ignore[no-untyped-def]
    """Take out ``s``, which is the head of its priority."""
    queue[g, slots[s, PRIORITY], 0] = slots[s, NEXT]
    rank[g, WAITING_N] -= 1


@hot
def start_running(rank, slots, g, s):  # type: ignore[no-untyped-def]
    """Append to the running sequences, in order of admission."""
    slots[s, ORDER] = rank[g, TURN]
    rank[g, TURN] += 1
    rank[g, RUNNING] += 1
    last = rank[g, RUN_TAIL]
    slots[s, OLDER], slots[s, YOUNGER] = last, -1
    if last < 0:
        rank[g, RUN_HEAD] = s
    else:
        slots[last, YOUNGER] = s
    rank[g, RUN_TAIL] = s


@hot
def stop_running(rank, slots, g, s):  # type: ignore[no-untyped-def]
    rank[g, RUNNING] -= 1
    older, younger = slots[s, OLDER], slots[s, YOUNGER]
    if older < 0:
        rank[g, RUN_HEAD] = younger
    else:
        slots[older, YOUNGER] = younger
    if younger < 0:
        rank[g, RUN_TAIL] = older
    else:
        slots[younger, OLDER] = older


@hot
def start_filling(rank, slots, g, s):  # type: ignore[no-untyped-def]
    """Append to the prefills; each takes what the older ones leave, so they end first in, first out."""
    last = rank[g, FILL_TAIL]
    slots[s, PREVIOUS], slots[s, NEXT] = last, -1
    if last < 0:
        rank[g, FILL_HEAD] = s
    else:
        slots[last, NEXT] = s
    rank[g, FILL_TAIL] = s


@hot
def stop_filling(rank, slots, g, s):  # type: ignore[no-untyped-def]
    previous, following = slots[s, PREVIOUS], slots[s, NEXT]
    if previous < 0:
        rank[g, FILL_HEAD] = following
    else:
        slots[previous, NEXT] = following
    if following < 0:
        rank[g, FILL_TAIL] = previous
    else:
        slots[following, PREVIOUS] = previous
