"""Binary heaps in rows of (key, slot): a rank's next finishes and crossings, and heaps of (tick, request, slot)."""

from __future__ import annotations

from tokenworks.twin.columns import HEAP_N, ORDER
from tokenworks.twin.compiled import compiled, hot, inlined


@hot
def earlier(key, slot, other_key, other_slot, slots):  # type: ignore[no-untyped-def]
    """Order of a rank's heap: by key, then by admission."""
    if key != other_key:
        return key < other_key
    return slots[slot, ORDER] < slots[other_slot, ORDER]


@hot
def sift_up(heap, g, which, i, key, slot, slots):  # type: ignore[no-untyped-def]
    while i > 0:
        parent = (i - 1) >> 1
        if not earlier(key, slot, heap[g, which, parent, 0], heap[g, which, parent, 1], slots):
            break
        heap[g, which, i, 0] = heap[g, which, parent, 0]
        heap[g, which, i, 1] = heap[g, which, parent, 1]
        i = parent
    heap[g, which, i, 0] = key
    heap[g, which, i, 1] = slot


@hot
def sift_down(heap, g, which, i, count, key, slot, slots):  # type: ignore[no-untyped-def]
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and earlier(
            heap[g, which, child + 1, 0], heap[g, which, child + 1, 1],
            heap[g, which, child, 0], heap[g, which, child, 1], slots,
        ):  # fmt: skip
            child += 1
        if not earlier(heap[g, which, child, 0], heap[g, which, child, 1], key, slot, slots):
            break
        heap[g, which, i, 0] = heap[g, which, child, 0]
        heap[g, which, i, 1] = heap[g, which, child, 1]
        i = child
    heap[g, which, i, 0] = key
    heap[g, which, i, 1] = slot


@hot
def push(heap, rank, g, which, key, slot, slots):  # type: ignore[no-untyped-def]
    count = rank[g, HEAP_N + which]
    rank[g, HEAP_N + which] = count + 1
    sift_up(heap, g, which, count, key, slot, slots)


@hot
def pop(heap, rank, g, which, slots):  # type: ignore[no-untyped-def]
    """Remove the first; its slot."""
    top = heap[g, which, 0, 1]
    count = rank[g, HEAP_N + which] - 1
    rank[g, HEAP_N + which] = count
    if count > 0:
        sift_down(heap, g, which, 0, count, heap[g, which, count, 0], heap[g, which, count, 1], slots)
    return top


@compiled
def remove(heap, rank, g, which, slot, slots):  # type: ignore[no-untyped-def]
    """Remove a slot from anywhere (linear search: rare)."""
    count = rank[g, HEAP_N + which] - 1
    i = 0
    while heap[g, which, i, 1] != slot:
        i += 1
    rank[g, HEAP_N + which] = count
    if i == count:
        return
    key, last = heap[g, which, count, 0], heap[g, which, count, 1]
    parent = (i - 1) >> 1
    if i > 0 and earlier(key, last, heap[g, which, parent, 0], heap[g, which, parent, 1], slots):
        sift_up(heap, g, which, i, key, last, slots)
    else:
        sift_down(heap, g, which, i, count, key, last, slots)


@compiled
def before(row, i, tick, request):  # type: ignore[no-untyped-def]
    return row[i, 0] < tick or (row[i, 0] == tick and row[i, 1] < request)


@inlined
def copy(row, to, source):  # type: ignore[no-untyped-def]
    row[to, 0], row[to, 1], row[to, 2] = row[source, 0], row[source, 1], row[source, 2]


@compiled
def push_event(row, g, counter, tick, request, slot):  # type: ignore[no-untyped-def]
    """Into a heap of events ordered by (tick, request); its length is the scalar ``counter``."""
    i = g[counter]
    g[counter] = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if before(row, parent, tick, request):
            break
        copy(row, i, parent)
        i = parent
    row[i, 0], row[i, 1], row[i, 2] = tick, request, slot


@compiled
def pop_event(row, g, counter):  # type: ignore[no-untyped-def]
    """Remove the first event; its slot."""
    top = row[0, 2]
    count = g[counter] - 1
    g[counter] = count
    tick, request, slot = row[count, 0], row[count, 1], row[count, 2]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and before(row, child + 1, row[child, 0], row[child, 1]):
            child += 1
        if not before(row, child, tick, request):
            break
        copy(row, i, child)
        i = child
    row[i, 0], row[i, 1], row[i, 2] = tick, request, slot
    return top
