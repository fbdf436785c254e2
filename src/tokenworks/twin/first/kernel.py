"""The compiled event loop: arrivals, step ends, leaps. One call runs one cell to its end."""

from __future__ import annotations

import numpy as np
from numba import njit

from tokenworks.control.routing import choose
from tokenworks.control.tournament import update, winner
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, REJECTED_QUEUE_FULL, REJECTED_TOO_LONG
from tokenworks.twin.first.batch import decoding, never_fits, plan
from tokenworks.twin.first.cost import (
    decode_joules,
    decode_line,
    mixed_joules,
    mixed_line,
    pairs,
    shared_decode,
    shared_decode_joules,
    shared_mixed,
    shared_mixed_joules,
)
from tokenworks.twin.first.packing import ALONE, BLOCK, INTERVAL, MAX_SEQS, RESERVE, SPECULATES
from tokenworks.twin.first.queue import front, push_back
from tokenworks.twin.first.state import (
    ARRIVED,
    FULL,
    INPUT,
    L_ARRIVED,
    L_BLOCKS,
    L_FINISHED,
    L_JOULES,
    L_RUNNING,
    L_TOKENS,
    L_WAITING,
    LONG,
    NEVER,
    OUTPUT,
    SLO,
)
from tokenworks.twin.first.state import FINISHED as C_FINISHED
from tokenworks.twin.statistics import bin_of

FINE_BITS = 20
FINE_MASK = (1 << FINE_BITS) - 1
LARGEST = 1 << 62
IDLE, MIXED_STEP, LEAP = 0, 1, 2


@njit(cache=True, inline="always")
def leap_cost(base, slope, k):  # type: ignore[no-untyped-def]
    """Fine cost of k steps whose cost grows by ``slope`` a step."""
    return k * base + slope * (k * (k - 1) // 2)


@njit(cache=True, inline="always")
def leap_end(w, worker, k):  # type: ignore[no-untyped-def]
    """Tick at which the k-th step of the leap ends."""
    return worker.clock[w] + ((worker.carry[w] + leap_cost(worker.base[w], worker.slope[w], k)) >> FINE_BITS)


@njit(cache=True)
def first_end_at(w, worker, most, tick):  # type: ignore[no-untyped-def]
    """The smallest k ≤ most whose end is at or after ``tick`` (most, if none is)."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if leap_end(w, worker, middle) >= tick:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def keys_of(stored, limit):  # type: ignore[no-untyped-def]
    """Keys that the token at position ``stored`` attends to."""
    return stored + 1 if limit == 0 or stored + 1 < limit else limit


@njit(cache=True)
def start_leap(w, m, tables, layout, seq, rank, worker, load, max_leap):  # type: ignore[no-untyped-def]
    """Plan as many pure decode steps as have one closed form."""
    number, limits, lines = tables.number[m], tables.limit[m], tables.lines
    first, last = layout.first_rank[w], layout.first_rank[w + 1]
    ranks = last - first
    k, total = max_leap, 0
    base, slope = np.zeros((ranks, lines), np.int64), np.zeros((ranks, lines), np.int64)
    joules, growth = 0, 0
    waiting = 0
    for g in range(first, last):
        n, s0, s1, s2, g1, g2 = 0, 0, 0, 0, 0, 0
        waiting += rank.waiting[g]
        for i in range(rank.count[g]):
            r = rank.running[g, i]
            if seq.stored[r] < seq.goal[r]:
                continue
            n += 1
            keys = seq.stored[r] + 1
            s0 += keys
            if limits[0] > 0:
                s1 += min(keys, limits[0])
                if keys < limits[0]:
                    g1 += 1
                    k = min(k, limits[0] - keys)
            if limits[1] > 0:
                s2 += min(keys, limits[1])
                if keys < limits[1]:
                    g2 += 1
                    k = min(k, limits[1] - keys)
            k = min(k, seq.steps[r] - seq.done[r])
        if n == 0:
            continue
        total += n
        if not number[RESERVE]:
            k = min(k, 1 + (rank.free[g] // n) * number[BLOCK])
        joules += decode_joules(tables, m, n, s0, s1, s2)
        c = tables.joule_context
        growth += c[m, 0] * n + c[m, 1] * g1 + c[m, 2] * g2
        for line in range(lines):
            base[g - first, line] = decode_line(tables, m, line, n, s0, s1, s2)
            c = tables.context
            slope[g - first, line] = c[m, line, 0] * n + c[m, line, 1] * g1 + c[m, line, 2] * g2
    if number[SPECULATES] or worker.preempted[w]:
        k = 1
    if waiting > 0 and number[INTERVAL] > 1:
        k = min(k, number[INTERVAL] - worker.step[w] % number[INTERVAL])
    best, best_slope = -1, 0
    for x in range(ranks):
        for line in range(lines):
            value = base[x, line] + shared_decode(tables, m, line, total)
            if value > best or (value == best and slope[x, line] > best_slope):
                best, best_slope = value, slope[x, line]
    for x in range(ranks):
        for line in range(lines):
            gain = slope[x, line] - best_slope
            if gain > 0:
                gap = best - base[x, line] - shared_decode(tables, m, line, total)
                k = min(k, gap // gain + 1)
    joules += shared_decode_joules(tables, m, total)
    while leap_bound(best, best_slope, k) or leap_bound(joules, growth, k):
        k = max(1, k // 2)
    worker.base[w], worker.slope[w], worker.leap[w] = best, best_slope, k
    worker.joule_base[w], worker.joule_slope[w] = joules, growth
    for g in range(first, last):
        # A waiting head that could be admitted is looked at again when it gives up.
        r = front(g, rank) if rank.count[g] < number[MAX_SEQS] else -1
        if r >= 0 and load.timeout[r] > 0 and seq.first[r] < 0:
            k = first_end_at(w, worker, k, load.arrival[r] + load.timeout[r])
    worker.leap[w] = k
    worker.mode[w] = LEAP
    worker.ready[w] = leap_end(w, worker, k)


@njit(cache=True)
def leap_bound(base, slope, k):  # type: ignore[no-untyped-def]
    """True where the sum of k > 1 steps may pass 2**62."""
    return k > 1 and float(k) * base + float(slope) * k * k / 2 > 4.6e18


@njit(cache=True)
def start_mixed(w, m, tokens, tables, layout, seq, rank, worker, load, books):  # type: ignore[no-untyped-def]
    """Cost of a step with prefill tokens; it ends at ``ready``."""
    number, limits, lines = tables.number[m], tables.limit[m], tables.lines
    first, last = layout.first_rank[w], layout.first_rank[w + 1]
    alone = number[ALONE] == 1
    worst = np.zeros(lines, np.int64)
    q, s = np.zeros(3, np.int64), np.zeros(3, np.int64)
    joules, everything = 0, 0
    for g in range(first, last):
        q[:] = 0
        s[:] = 0
        samples, own = 0, 0
        for i in range(rank.count[g]):
            r = rank.running[g, i]
            chunk = seq.chunk[r]
            if chunk > 0:
                own += chunk
                q[0] += pairs(seq.stored[r], chunk, 0)
                for c in range(2):
                    if limits[c] > 0:
                        q[c + 1] += pairs(seq.stored[r], chunk, limits[c])
                if seq.stored[r] + chunk >= seq.goal[r]:
                    samples += 1
            elif not alone and seq.stored[r] >= seq.goal[r]:
                own += 1
                samples += 1
                s[0] += seq.stored[r] + 1
                for c in range(2):
                    if limits[c] > 0:
                        s[c + 1] += keys_of(seq.stored[r], limits[c])
        everything += own
        joules += mixed_joules(tables, m, own, samples, q, s)
        for line in range(lines):
            worst[line] = max(worst[line], mixed_line(tables, m, line, own, samples, q, s))
    cost = 0
    for line in range(lines):
        cost = max(cost, worst[line] + shared_mixed(tables, m, line, everything))
    worker.base[w], worker.slope[w], worker.leap[w] = cost, 0, 1
    worker.joule_base[w], worker.joule_slope[w] = joules + shared_mixed_joules(tables, m, everything), 0
    worker.mode[w] = MIXED_STEP
    worker.ready[w] = leap_end(w, worker, 1)


@njit(cache=True)
def begin(w, now, tables, layout, seq, rank, worker, load, books, max_leap):  # type: ignore[no-untyped-def]
    """Build the next step of a worker whose clock stands at a step boundary."""
    m = layout.model[w]
    first, last = layout.first_rank[w], layout.first_rank[w + 1]
    before = worker.outstanding[w]
    worker.clock[w] = now
    tokens = plan(w, now, tables.number[m], first, last, seq, rank, worker, books, load)
    if tokens > 0:
        start_mixed(w, m, tokens, tables, layout, seq, rank, worker, load, books)
    else:
        running = 0
        for g in range(first, last):
            running += decoding(g, seq, rank)
        if running > 0:
            start_leap(w, m, tables, layout, seq, rank, worker, load, max_leap)
        else:
            worker.mode[w], worker.ready[w], worker.step[w] = IDLE, NEVER, 0
    return worker.outstanding[w] != before


@njit(cache=True)
def token_booked(r, tick, seq, load, books, clock):  # type: ignore[no-untyped-def]
    """TTFT of a first token."""
    seq.first[r] = tick
    if load.arrival[r] >= clock.warmup:
        service = load.service[r]
        wait = tick - load.arrival[r]
        books.hist[service, 0, bin_of(wait, clock.edges)] += 1
        books.total[service, 0] += wait
        books.most[service, 0] = max(books.most[service, 0], wait)


@njit(cache=True)
def finished(r, g, w, tick, seq, rank, worker, load, books, layout, clock):  # type: ignore[no-untyped-def]
    """A request leaves: blocks freed, latencies booked."""
    service = load.service[r]
    seq.finish[r], seq.status[r] = tick, FINISHED
    rank.free[g] += seq.held[r]
    seq.held[r] = 0
    worker.outstanding[w] -= 1
    books.count[service, C_FINISHED] += 1
    books.count[service, INPUT] += load.input[r]
    bucket = tick // clock.bucket
    if bucket < clock.buckets:
        books.line[L_FINISHED, service, bucket] += 1
    ttft, life, n = seq.first[r] - load.arrival[r], tick - load.arrival[r], load.output[r]
    tpot = (life - ttft) // (n - 1) if n > 1 else 0
    slo = layout.slo[service]
    if not (slo[0] and ttft > slo[0]) and not (slo[1] and tpot > slo[1]) and not (slo[2] and life > slo[2]):
        books.count[service, SLO] += 1
    if load.arrival[r] < clock.warmup:
        return
    books.hist[service, 2, bin_of(life, clock.edges)] += 1
    books.total[service, 2] += life
    books.most[service, 2] = max(books.most[service, 2], life)
    if n > 1:
        books.hist[service, 1, bin_of(tpot, clock.edges)] += 1
        books.total[service, 1] += tpot
        books.most[service, 1] = max(books.most[service, 1], tpot)


@njit(cache=True)
def stretch(r, seq, load, per_step):  # type: ignore[no-untyped-def]
    """After a prefill: decode steps for the tokens that are still owed."""
    seq.before[r] = seq.produced[r]
    rest = load.output[r] - seq.produced[r]
    seq.done[r] = 0
    seq.steps[r] = max(1, int(np.floor(rest / per_step + 0.5))) if rest > 0 else 0


@njit(cache=True)
def end_step(w, tick, tables, layout, seq, rank, worker, load, books, clock, gone):  # type: ignore[no-untyped-def]
    """Apply the step or leap that ends at ``tick``; finished requests go into ``gone``; returns how many."""
    m, k = layout.model[w], worker.leap[w]
    number, mixed = tables.number[m], worker.mode[w] == MIXED_STEP
    alone = number[ALONE] == 1
    service, block = layout.service[w], number[BLOCK]
    if clock.buckets > 0:
        book_line(w, k, mixed, layout, seq, rank, worker, books, clock, block)
    fine = worker.carry[w] + leap_cost(worker.base[w], worker.slope[w], k)
    worker.busy[w] += fine >> FINE_BITS
    worker.carry[w] = fine & FINE_MASK
    joules = worker.joule_carry[w] + leap_cost(worker.joule_base[w], worker.joule_slope[w], k)
    worker.joules[w] += joules >> FINE_BITS
    worker.joule_carry[w] = joules & FINE_MASK
    worker.clock[w] = tick
    worker.steps[w] += k
    worker.step[w] += k
    if not mixed:
        worker.decode_steps[w] += k
    left = 0
    for g in range(layout.first_rank[w], layout.first_rank[w + 1]):
        keep = 0
        for i in range(rank.count[g]):
            r = rank.running[g, i]
            over = False
            chunk = seq.chunk[r]
            if mixed and chunk > 0:
                seq.stored[r] += chunk
                seq.chunk[r] = 0
                worker.prefill_tokens[w] += chunk
                if seq.stored[r] >= seq.goal[r]:
                    seq.produced[r] += 1
                    books.count[service, OUTPUT] += 1
                    if seq.first[r] < 0:
                        token_booked(r, tick, seq, load, books, clock)
                    stretch(r, seq, load, tables.per_step[m])
                    over = seq.steps[r] == 0
            elif seq.stored[r] >= seq.goal[r] and not (mixed and alone):
                rest = load.output[r] - seq.before[r]
                if number[SPECULATES]:
                    grown = ((seq.done[r] + k) * rest) // seq.steps[r] - (seq.done[r] * rest) // seq.steps[r]
                else:
                    grown = k
                seq.done[r] += k
                seq.stored[r] += grown
                seq.produced[r] += grown
                books.count[service, OUTPUT] += grown
                worker.decode_tokens[w] += grown
                worker.batch_steps[w] += k
                if not number[RESERVE]:
                    want = (seq.stored[r] + block - 1) // block
                    rank.free[g] -= want - seq.held[r]
                    seq.held[r] = want
                over = seq.done[r] == seq.steps[r]
            if over:
                finished(r, g, w, tick, seq, rank, worker, load, books, layout, clock)
                gone[left] = r
                left += 1
            else:
                rank.running[g, keep] = r
                keep += 1
        rank.count[g] = keep
    worker.mode[w] = IDLE
    worker.ready[w] = NEVER
    return left


@njit(cache=True)
def book_line(w, k, mixed, layout, seq, rank, worker, books, clock, block):  # type: ignore[no-untyped-def]
    """Tokens and joules of the k steps into the buckets in which each step ends."""
    service, done = layout.service[w], 0
    decode, first_tokens = 0, 0
    for g in range(layout.first_rank[w], layout.first_rank[w + 1]):
        for i in range(rank.count[g]):
            r = rank.running[g, i]
            if seq.stored[r] >= seq.goal[r]:
                decode += 1
            elif seq.stored[r] + seq.chunk[r] >= seq.goal[r]:
                first_tokens += 1
    while done < k:
        tick = leap_end(w, worker, done + 1)
        bucket = tick // clock.bucket
        upto = k
        if leap_end(w, worker, k) // clock.bucket != bucket:
            upto = max(done + 1, first_end_at(w, worker, k, (bucket + 1) * clock.bucket) - 1)
        if bucket < clock.buckets:
            tokens = first_tokens if mixed else 0
            if not mixed:
                tokens += decode * (upto - done)
            books.line[L_TOKENS, service, bucket] += tokens
            fine = leap_cost(worker.joule_base[w], worker.joule_slope[w], upto)
            fine -= leap_cost(worker.joule_base[w], worker.joule_slope[w], done)
            books.line[L_JOULES, service, bucket] += fine / (1 << FINE_BITS) / 1e6
        done = upto


@njit(cache=True)
def sample(bucket, layout, tables, seq, rank, worker, books, clock):  # type: ignore[no-untyped-def]
    """Queue, batch and blocks at the end of a bucket; a leap's growth counts up to that moment."""
    tick = (bucket + 1) * clock.bucket
    for w in range(len(layout.model)):
        service, m = layout.service[w], layout.model[w]
        if service < 0:
            continue
        block, k = tables.number[m, BLOCK], 0
        if worker.mode[w] == LEAP and not tables.number[m, RESERVE]:
            k = first_end_at(w, worker, worker.leap[w] + 1, tick + 1) - 1
        for g in range(layout.first_rank[w], layout.first_rank[w + 1]):
            books.line[L_WAITING, service, bucket] += rank.waiting[g]
            books.line[L_RUNNING, service, bucket] += rank.count[g]
            for i in range(rank.count[g]):
                r = rank.running[g, i]
                held = seq.held[r]
                if k > 0:
                    held = max(held, (seq.stored[r] + k + block - 1) // block)
                books.line[L_BLOCKS, service, bucket] += held


@njit(cache=True)
def arrive(r, tables, layout, seq, rank, worker, load, books, clock, loads, trees, tree_start):  # type: ignore[no-untyped-def]
    """Route a request; returns its worker, or −1 where it was rejected."""
    service, now = load.service[r], load.arrival[r]
    books.count[service, ARRIVED] += 1
    if now // clock.bucket < clock.buckets:
        books.line[L_ARRIVED, service, now // clock.bucket] += 1
    start, stop = layout.pool_start[service], layout.pool_start[service + 1]
    seq.finish[r] = now
    if layout.max_waiting[service] and books.waiting[service] >= layout.max_waiting[service]:
        seq.status[r] = REJECTED_QUEUE_FULL
        books.count[service, FULL] += 1
        return -1
    tree = trees[tree_start[service] : tree_start[service + 1]]
    place = choose(
        layout.policy[service], loads[start:stop], tree, books.turn[service], layout.seed, r, load.session[r]
    )
    w = layout.pool[start + place]
    if never_fits(r, tables.number[layout.model[w]], load):
        seq.status[r] = REJECTED_TOO_LONG
        books.count[service, LONG] += 1
        return -1
    books.turn[service] += 1
    seq.finish[r] = -1
    seq.status[r] = IN_SYSTEM
    g = layout.first_rank[w]
    for other in range(g + 1, layout.first_rank[w + 1]):
        if rank.count[other] + rank.waiting[other] < rank.count[g] + rank.waiting[g]:
            g = other
    seq.goal[r], seq.rank[r] = load.input[r], g
    push_back(g, r, seq, rank, load)
    books.waiting[service] += 1
    worker.outstanding[w] += 1
    return w


@njit(cache=True)
def reload(w, layout, worker, loads, trees, tree_start):  # type: ignore[no-untyped-def]
    """The load of a worker changed: tell its pool."""
    service = layout.service[w]
    start, stop = layout.pool_start[service], layout.pool_start[service + 1]
    place = layout.position[w]
    loads[start + place] = worker.outstanding[w]
    update(trees[tree_start[service] : tree_start[service + 1]], loads[start:stop], place)


@njit(cache=True)
def shorten(w, now, tables, layout, rank, worker):  # type: ignore[no-untyped-def]
    """An arrival during a leap ends it at the next boundary at which it could be admitted."""
    m = layout.model[w]
    room = False
    for g in range(layout.first_rank[w], layout.first_rank[w + 1]):
        if rank.waiting[g] > 0 and rank.count[g] < tables.number[m, MAX_SEQS]:
            room = True
    if not room:
        return
    k = first_end_at(w, worker, worker.leap[w], now)
    interval = tables.number[m, INTERVAL]
    if interval > 1:
        k = min(worker.leap[w], k + (-(worker.step[w] + k)) % interval)
    worker.leap[w] = k
    worker.ready[w] = leap_end(w, worker, k)


@njit(cache=True)
def run(tables, layout, load, seq, rank, worker, books, clock, loads, trees, tree_start, times, gone, woken):  # type: ignore[no-untyped-def]
    """Process events until the horizon or until every request has left. Returns the last tick."""
    n = len(load.arrival)
    known = n if clock.clients == 0 else min(clock.clients, n)
    arrived, now, bucket = 0, 0, 0
    while True:
        w = winner(times)
        step_at = worker.ready[w]
        next_arrival = load.arrival[load.order[arrived]] if arrived < known else NEVER
        tick = min(step_at, next_arrival)
        if tick == NEVER or (clock.horizon and tick >= clock.horizon):
            break
        while bucket < clock.buckets and tick > (bucket + 1) * clock.bucket:
            sample(bucket, layout, tables, seq, rank, worker, books, clock)
            bucket += 1
        now, touched = tick, 0
        # step ends first, by worker index
        while worker.ready[w] == now:
            left = end_step(w, now, tables, layout, seq, rank, worker, load, books, clock, gone)
            update(times, worker.ready, w)
            woken[touched] = w
            touched += 1
            if left > 0:
                reload(w, layout, worker, loads, trees, tree_start)
            if clock.clients:
                known = release(left, now, arrived, known, load)
            w = winner(times)
        while arrived < known and load.arrival[load.order[arrived]] == now:
            a = arrive(
                load.order[arrived],
                tables,
                layout,
                seq,
                rank,
                worker,
                load,
                books,
                clock,
                loads,
                trees,
                tree_start,
            )
            arrived += 1
            if a < 0:
                if clock.clients:
                    known = release(1, now, arrived, known, load)
                continue
            reload(a, layout, worker, loads, trees, tree_start)
            if worker.mode[a] == IDLE:
                woken[touched] = a
                touched += 1
            elif worker.mode[a] == LEAP:
                shorten(a, now, tables, layout, rank, worker)
                update(times, worker.ready, a)
        if touched > 1:
            woken[:touched].sort()
        for i in range(touched):
            v = woken[i]
            if worker.mode[v] != IDLE or (i > 0 and woken[i - 1] == v):
                continue
            before = worker.outstanding[v]
            begin(v, now, tables, layout, seq, rank, worker, load, books, clock.max_leap)
            if worker.outstanding[v] != before:
                reload(v, layout, worker, loads, trees, tree_start)
                if clock.clients:
                    known = release(before - worker.outstanding[v], now, arrived, known, load)
            update(times, worker.ready, v)
    while bucket < clock.buckets:
        sample(bucket, layout, tables, seq, rank, worker, books, clock)
        bucket += 1
    return now


@njit(cache=True)
def settle(horizon, tables, layout, load, seq, rank, worker, books, clock, gone):  # type: ignore[no-untyped-def]
    """At the horizon: steps of a leap that ended before it did happen."""
    for w in range(len(layout.model)):
        if worker.mode[w] != LEAP:
            continue
        k = first_end_at(w, worker, worker.leap[w], horizon)
        if leap_end(w, worker, k) >= horizon:
            k -= 1
        if k > 0:
            worker.leap[w] = k
            end_step(w, leap_end(w, worker, k), tables, layout, seq, rank, worker, load, books, clock, gone)


@njit(cache=True)
def release(count, now, arrived, known, load):  # type: ignore[no-untyped-def]
    """Closed loop: each completion lets the next request come, after its think time; pending ones stay sorted."""
    for _ in range(count):
        if known < len(load.arrival):
            time = now + load.think[known]
            load.arrival[known] = time
            place = known
            while place > arrived and load.arrival[load.order[place - 1]] > time:
                load.order[place] = load.order[place - 1]
                place -= 1
            load.order[place] = known
            known += 1
    return known
