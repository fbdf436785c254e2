"""What goes into a worker's next step: preemption, running prefills, admission (semantics page, "A step")."""

from __future__ import annotations

from numba import njit

from tokenworks.twin.first.packing import ALONE, BLOCK, BLOCKS, BUDGET, CHUNKED, INTERVAL, MAX_SEQS, RESERVE
from tokenworks.twin.first.queue import drop_expired, front, pop_front, push_front
from tokenworks.twin.first.state import PREEMPTED


@njit(cache=True, inline="always")
def blocks_for(tokens, block):  # type: ignore[no-untyped-def]
    return (tokens + block - 1) // block


@njit(cache=True)
def preempt(g, seq, rank, books, load):  # type: ignore[no-untyped-def]
    """Send the most recently admitted sequence of rank ``g`` back to the queue; it will recompute."""
    last = rank.count[g] - 1
    r = rank.running[g, last]
    rank.count[g] = last
    rank.free[g] += seq.held[r]
    seq.held[r] = 0
    seq.goal[r] = load.input[r] + seq.produced[r]
    seq.stored[r] = 0
    seq.chunk[r] = 0
    seq.preempted[r] += 1
    service = load.service[r]
    books.count[service, PREEMPTED] += 1
    books.waiting[service] += 1
    push_front(g, r, seq, rank, load)
    return r


@njit(cache=True)
def next_growth(r, seq, load):  # type: ignore[no-untyped-def]
    """Tokens that the next decode step of ``r`` adds to its output."""
    k, m = seq.done[r] + 1, seq.steps[r]
    rest = load.output[r] - seq.before[r]
    return (k * rest) // m - ((k - 1) * rest) // m


@njit(cache=True)
def take_decode_blocks(g, number, seq, rank, books, load):  # type: ignore[no-untyped-def]
    """Rule 2: blocks for the next token of every decode sequence; True where something was preempted."""
    block, hit, i = number[BLOCK], False, 0
    while i < rank.count[g]:
        r = rank.running[g, i]
        if seq.stored[r] >= seq.goal[r]:
            grown = max(1, next_growth(r, seq, load))
            need = blocks_for(seq.stored[r] + grown, block) - seq.held[r]
            while need > rank.free[g]:
                hit = True
                if preempt(g, seq, rank, books, load) == r:
                    break
            if i >= rank.count[g]:
                break
            if need > 0:
                seq.held[r] += need
                rank.free[g] -= need
        i += 1
    return hit


@njit(cache=True)
def plan_prefills(g, number, room, seq, rank):  # type: ignore[no-untyped-def]
    """Rule 3: chunks of running prefills; blocks were taken at admission. Returns their tokens."""
    tokens = 0
    for i in range(rank.count[g]):
        r = rank.running[g, i]
        seq.chunk[r] = 0
        left = seq.goal[r] - seq.stored[r]
        if left > 0 and room > tokens:
            seq.chunk[r] = min(left, room - tokens)
            tokens += seq.chunk[r]
    return tokens


@njit(cache=True)
def admit(g, w, now, number, room, tokens, seq, rank, worker, books, load):  # type: ignore[no-untyped-def]
    """Rule 4: requests from the queue while limits allow. Returns all prefill tokens of the rank's step."""
    block = number[BLOCK]
    while rank.count[g] < number[MAX_SEQS] and room > tokens:
        drop_expired(g, w, now, seq, rank, worker, books, load)
        r = front(g, rank)
        if r < 0:
            break
        left = seq.goal[r]
        need = blocks_for(load.input[r] + load.output[r] - 1, block) if number[RESERVE] else blocks_for(left, block)
        if need > rank.free[g]:
            break
        if number[CHUNKED] == 0 and left > room - tokens and tokens > 0:
            break
        pop_front(g, seq, rank)
        books.waiting[load.service[r]] -= 1
        seq.held[r] = need
        rank.free[g] -= need
        seq.chunk[r] = min(left, room - tokens) if number[CHUNKED] else left
        tokens += seq.chunk[r]
        rank.running[g, rank.count[g]] = r
        rank.count[g] += 1
    return tokens


@njit(cache=True)
def decoding(g, seq, rank):  # type: ignore[no-untyped-def]
    """Decode sequences of a rank."""
    n = 0
    for i in range(rank.count[g]):
        r = rank.running[g, i]
        if seq.stored[r] >= seq.goal[r]:
            n += 1
    return n


@njit(cache=True)
def plan(w, now, number, first, last, seq, rank, worker, books, load):  # type: ignore[no-untyped-def]
    """Plan the next step of a worker over its ranks; returns its prefill tokens (chunks are set)."""
    total, running = 0, 0
    for g in range(first, last):
        running += decoding(g, seq, rank)
    look = number[INTERVAL] <= 1 or running == 0 or worker.step[w] % number[INTERVAL] == 0
    worker.preempted[w] = 0
    for g in range(first, last):
        hit, room = False, number[BUDGET]
        if not number[ALONE]:
            if not number[RESERVE]:
                hit = take_decode_blocks(g, number, seq, rank, books, load)
            room -= decoding(g, seq, rank)
        tokens = plan_prefills(g, number, room, seq, rank)
        if look and not hit:
            tokens = admit(g, w, now, number, room, tokens, seq, rank, worker, books, load)
        total += tokens
        if hit:
            worker.preempted[w] = 1
    if number[ALONE] and total == 0 and not number[RESERVE]:
        for g in range(first, last):
            if take_decode_blocks(g, number, seq, rank, books, load):
                worker.preempted[w] = 1
    return total


@njit(cache=True, inline="always")
def never_fits(r, number, load):  # type: ignore[no-untyped-def]
    return blocks_for(load.input[r] + load.output[r] - 1, number[BLOCK]) > number[BLOCKS]
