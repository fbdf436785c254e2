"""Prefix caches: units of blocks found by (rank, hash), kept in LRU order per rank and tier; tier 0 is the device."""

from __future__ import annotations

import numpy as np

from tokenworks.twin.columns import (
    FREE,
    HASHES,
    LRU_N,
    N_CHAIN,
    N_COUNT,
    N_HASH,
    N_OLDER,
    N_RANK,
    N_TIER,
    N_USED,
    N_YOUNGER,
    NODE_HEAD,
    NODES_FREE,
    PAGE,
    PAGE_HEAD,
    PAGE_UNITS,
    PAGES_FREE,
    PINNED,
    TIER_HEAD,
    TIER_LIMIT,
    TIER_N,
    TIER_TAIL,
    TIER_TICKS,
    TIERS,
    UNIT,
)
from tokenworks.twin.compiled import compiled, entry, inlined

MIX = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(20)


@inlined
def home(table, g, value):  # type: ignore[no-untyped-def]
    """Chain of (rank, hash): those of one hash lie side by side, since a router asks all its ranks for it."""
    mixed = (np.uint64(value) * MIX) >> SHIFT
    return (np.int64(mixed) + g) & (len(table) - 1)


@inlined
def first_of(table, place):  # type: ignore[no-untyped-def]
    """First node of a chain, or −1. The table holds node + 1: zeros, which cost no memory until written, are no nodes."""
    return np.int64(table[place]) - 1


@compiled
def find(cache, g, value):  # type: ignore[no-untyped-def]
    """The node of a hash in a rank's device cache or tiers, or −1."""
    x = first_of(cache.table, home(cache.table, g, value))
    while x >= 0 and (cache.node[x, N_HASH] != value or cache.node[x, N_RANK] != g):
        x = cache.node[x, N_CHAIN]
    return x


@compiled
def create(cache, scalars, g, value):  # type: ignore[no-untyped-def]
    """A device node with one reference."""
    x, place = scalars[NODE_HEAD], home(cache.table, g, value)
    node = cache.node
    scalars[NODE_HEAD] = x + 1 + node[x, N_CHAIN]
    scalars[NODES_FREE] -= 1
    node[x, N_HASH], node[x, N_RANK], node[x, N_COUNT], node[x, N_TIER] = value, g, 1, 0
    node[x, N_CHAIN], node[x, N_USED] = first_of(cache.table, place), 1
    cache.table[place] = x + 1
    return x


@compiled
def destroy(cache, scalars, x):  # type: ignore[no-untyped-def]
    node = cache.node
    place = home(cache.table, node[x, N_RANK], node[x, N_HASH])
    y = first_of(cache.table, place)
    if y == x:
        cache.table[place] = node[x, N_CHAIN] + 1
    else:
        while node[y, N_CHAIN] != x:
            y = node[y, N_CHAIN]
        node[y, N_CHAIN] = node[x, N_CHAIN]
    node[x, N_CHAIN], node[x, N_USED] = scalars[NODE_HEAD] - x - 1, 0
    scalars[NODE_HEAD] = x
    scalars[NODES_FREE] += 1


@compiled
def insert_after(cache, g, t, anchor, x):  # type: ignore[no-untyped-def]
    """Into the LRU of tier ``t``, next younger than ``anchor`` (−1: as the oldest)."""
    node, tier = cache.node, cache.tier
    younger = tier[g, t, TIER_HEAD] if anchor < 0 else node[anchor, N_YOUNGER]
    node[x, N_OLDER], node[x, N_YOUNGER] = anchor, younger
    if anchor < 0:
        tier[g, t, TIER_HEAD] = x
    else:
        node[anchor, N_YOUNGER] = x
    if younger < 0:
        tier[g, t, TIER_TAIL] = x
    else:
        node[younger, N_OLDER] = x
    tier[g, t, TIER_N] += 1


@compiled
def unlink(cache, x):  # type: ignore[no-untyped-def]
    """Out of the LRU that holds it."""
    node, tier = cache.node, cache.tier
    g, t, older, younger = node[x, N_RANK], node[x, N_TIER], node[x, N_OLDER], node[x, N_YOUNGER]
    if older < 0:
        tier[g, t, TIER_HEAD] = younger
    else:
        node[older, N_YOUNGER] = younger
    if younger < 0:
        tier[g, t, TIER_TAIL] = older
    else:
        node[younger, N_OLDER] = older
    tier[g, t, TIER_N] -= 1


@compiled
def evict(rank, number, v, g, cache, scalars):  # type: ignore[no-untyped-def]
    """Evict least recently used units until no taken block is missing."""
    while rank[g, FREE] < 0:
        x = cache.tier[g, 0, TIER_HEAD]
        unlink(cache, x)
        rank[g, LRU_N] -= 1
        rank[g, FREE] += number[v, UNIT]
        demote(number, v, g, x, cache, scalars)


@compiled
def demote(number, v, g, x, cache, scalars):  # type: ignore[no-untyped-def]
    """A unit that left a place goes one tier down, and pushes that tier's oldest further where it is full."""
    t = cache.node[x, N_TIER] + 1
    while t <= number[v, TIERS]:
        cache.node[x, N_TIER] = t
        insert_after(cache, g, t, cache.tier[g, t, TIER_TAIL], x)
        if cache.tier[g, t, TIER_N] <= cache.tier[g, t, TIER_LIMIT]:
            return
        x = cache.tier[g, t, TIER_HEAD]
        unlink(cache, x)
        t += 1
    destroy(cache, scalars, x)


@compiled
def runs(cache, slots, s, g, usable):  # type: ignore[no-untyped-def]
    """(units of the device run, those of them at reference 0, units of the whole run with tiers). The nodes found are
    noted in the pages of the request for `pin`."""
    device, idle, i, t = 0, 0, 0, 0
    page = slots[s, PAGE]
    usable = min(usable, slots[s, HASHES])
    while i < usable:
        if i > 0 and i % PAGE_UNITS == 0:
            page = cache.page_next[page]
        x = find(cache, g, cache.page[page, 0, i % PAGE_UNITS])
        if x < 0 or cache.node[x, N_TIER] < t:
            break
        cache.page[page, 1, i % PAGE_UNITS] = x
        if cache.node[x, N_TIER] > t:
            t = cache.node[x, N_TIER]
        if t == 0:
            device += 1
            idle += cache.node[x, N_COUNT] == 0
        i += 1
    return device, idle, i


@compiled
def pin(cache, rank, slots, s, g, units):  # type: ignore[no-untyped-def]
    """Pin the first units of a prompt, which `runs` has just found; returns the ticks that reloads take."""
    node, page, ticks = cache.node, slots[s, PAGE], 0
    for i in range(units):
        if i > 0 and i % PAGE_UNITS == 0:
            page = cache.page_next[page]
        x = cache.page[page, 1, i % PAGE_UNITS]
        if node[x, N_TIER] > 0:
            ticks += cache.tier[g, node[x, N_TIER], TIER_TICKS]
            unlink(cache, x)
            node[x, N_TIER] = 0
        elif node[x, N_COUNT] == 0:
            unlink(cache, x)
            rank[g, LRU_N] -= 1
        node[x, N_COUNT] += 1
    slots[s, PINNED] = units
    return ticks


@compiled
def publish(cache, scalars, slots, s, g):  # type: ignore[no-untyped-def]
    """At the end of a prefill: its prompt's units enter the cache; a unit that is present stays private."""
    node, page, pinned = cache.node, slots[s, PAGE], slots[s, PINNED]
    for i in range(slots[s, HASHES]):
        if i > 0 and i % PAGE_UNITS == 0:
            page = cache.page_next[page]
        if i < pinned:
            continue
        value = cache.page[page, 0, i % PAGE_UNITS]
        x = find(cache, g, value)
        if x >= 0 and node[x, N_TIER] == 0:
            x = -1
        elif x >= 0:
            unlink(cache, x)
            node[x, N_TIER], node[x, N_COUNT] = 0, 1
        else:
            x = create(cache, scalars, g, value)
        cache.page[page, 1, i % PAGE_UNITS] = x
        slots[s, PINNED] += x >= 0


@compiled
def unpin(cache, rank, slots, s, g):  # type: ignore[no-untyped-def]
    """Release a sequence's units. Each goes just before the one released last, so that the prompt's end is the oldest."""
    left, node, page = slots[s, PINNED], cache.node, slots[s, PAGE]
    anchor, i = cache.tier[g, 0, TIER_TAIL], 0
    while left > 0:
        if i > 0 and i % PAGE_UNITS == 0:
            page = cache.page_next[page]
        x = cache.page[page, 1, i % PAGE_UNITS]
        if x >= 0:
            left -= 1
            node[x, N_COUNT] -= 1
            if node[x, N_COUNT] == 0:
                insert_after(cache, g, 0, anchor, x)
                rank[g, LRU_N] += 1
        i += 1
    slots[s, PINNED] = 0


@compiled
def store_hashes(cache, scalars, slots, s, hashes, start, count):  # type: ignore[no-untyped-def]
    """Copy a request's hashes into pages of its own."""
    slots[s, HASHES], slots[s, PINNED] = count, 0
    page = -1
    for i in range(count):
        if i % PAGE_UNITS == 0:
            fresh = scalars[PAGE_HEAD]
            scalars[PAGE_HEAD] = cache.page_next[fresh]
            scalars[PAGES_FREE] -= 1
            if page < 0:
                slots[s, PAGE] = fresh
            else:
                cache.page_next[page] = fresh
            page = fresh
        cache.page[page, 0, i % PAGE_UNITS] = hashes[start + i]
        cache.page[page, 1, i % PAGE_UNITS] = -1
    if page >= 0:
        cache.page_next[page] = -1


@compiled
def drop_hashes(cache, scalars, slots, s):  # type: ignore[no-untyped-def]
    page = slots[s, PAGE]
    for _ in range((slots[s, HASHES] + PAGE_UNITS - 1) // PAGE_UNITS):
        following = cache.page_next[page]
        cache.page_next[page] = scalars[PAGE_HEAD]
        scalars[PAGE_HEAD] = page
        scalars[PAGES_FREE] += 1
        page = following
    slots[s, HASHES] = 0


@entry
def rehash(cache, nodes):  # type: ignore[no-untyped-def]
    """Fill a new table with the nodes that are in use."""
    for x in range(nodes):
        if cache.node[x, N_USED] == 1:
            place = home(cache.table, cache.node[x, N_RANK], cache.node[x, N_HASH])
            cache.node[x, N_CHAIN] = first_of(cache.table, place)
            cache.table[place] = x + 1
