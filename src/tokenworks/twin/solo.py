"""One worker alone, in floating point: the fast path for calibration, which replays thousands of experiments.

Same scheduling rules as the twin (docs/decisions/0002), restricted to one aggregated worker without prefix cache,
timeouts and priorities; attention-DP ranks are taken as equal, so that one rank stands for all. Work per leap is
linear in the batch. Not a substitute for the twin: no routing, no pools, no exact arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit
from tokenworks.physics.worker_model import FINE, MICROJOULES_PER_J, TICKS_PER_S, WorkerModel

Floats = NDArray[np.float64]
STEP_COLUMNS = 11  # steps (0: idle), decode sequences, tokens (0: pure decode), sampled, pairs × 3, keys × 3, line


@dataclass(frozen=True)
class SoloResult:
    """Seconds per request (NaN where it never happened) and totals of the one simulated rank."""

    first_token_s: Floats
    finish_s: Floats
    arrival_s: Floats
    busy_s: float
    dynamic_j: float  # of the whole worker
    end_s: float
    static_w: float
    steps: Floats  # (segments, 11): what each step or leap was, see STEP_COLUMNS
    marks: NDArray[np.int64]  # (requests, 3): segment at whose end it arrived (-1: by the clock), answered, finished


@dataclass(frozen=True)
class SoloTables:
    """A WorkerModel's tables in seconds and joules, packed for the compiled loop."""

    decode: Floats
    mixed: Floats
    seqs: Floats
    pair: Floats
    context: Floats
    j_decode: Floats
    j_mixed: Floats
    j_seqs: Floats
    j_pair: Floats
    j_context: Floats
    limits: NDArray[np.int64]
    numbers: NDArray[np.int64]  # max_seqs, budget, blocks, block_tokens, reserve, alone, chunked, interval
    tokens_per_step: float
    active_w: float
    idle_w: float


def pack(model: WorkerModel) -> SoloTables:
    """Tables per rank; the shared part is added at ranks times the rank's own count."""
    table, ranks = model.levels[0], model.ranks
    second, joule = 1.0 / (TICKS_PER_S * FINE), ranks / (MICROJOULES_PER_J * FINE)
    size_n, size_b = table.decode.shape[1], table.mixed.shape[1]
    shared = 1.0 / (MICROJOULES_PER_J * FINE)
    numbers = [
        model.max_seqs,
        model.token_budget,
        model.kv_blocks,
        model.block_tokens,
        int(model.reserve_output),
        int(model.prefill_alone),
        int(model.chunked_prefill),
        model.receive_interval,
    ]
    wide = np.float64
    return SoloTables(
        decode=((table.decode + table.shared_decode[:, : ranks * size_n : ranks]) * second).astype(wide),
        mixed=((table.mixed + table.shared_mixed[:, : ranks * size_b : ranks]) * second).astype(wide),
        seqs=(table.seqs * second).astype(wide),
        pair=(table.pair * second).astype(wide),
        context=(table.context * second).astype(wide),
        j_decode=table.joule_decode * joule + table.joule_shared_decode[: ranks * size_n : ranks] * shared,
        j_mixed=table.joule_mixed * joule + table.joule_shared_mixed[: ranks * size_b : ranks] * shared,
        j_seqs=(table.joule_seqs * joule).astype(wide),
        j_pair=(table.joule_pair * joule).astype(wide),
        j_context=(table.joule_context * joule).astype(wide),
        limits=np.array(model.limits, dtype=np.int64),
        numbers=np.array(numbers, dtype=np.int64),
        tokens_per_step=model.tokens_per_step,
        active_w=table.active_w,
        idle_w=model.idle_w,
    )


def simulate_solo(
    tables: SoloTables,
    arrival_s: Floats,
    input_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    clients: int = 0,
    record: bool = False,
) -> SoloResult:
    """Run all requests to the end. ``clients`` > 0: request i ≥ clients arrives at the (i − clients + 1)-th finish."""
    arrival = arrival_s.astype(np.float64).copy()
    n = len(arrival)
    first, finish = np.full(n, np.nan), np.full(n, np.nan)
    steps = np.maximum(1, np.floor((output_tokens - 1) / tables.tokens_per_step + 0.5)).astype(np.int64)
    steps[output_tokens <= 1] = 0
    totals = np.zeros(4)
    room = 4 * n + 64 if record else 0
    while True:
        log, marks = np.zeros((room, STEP_COLUMNS)), np.full((n, 3), -1, np.int64)
        _solo(
            tables.decode, tables.mixed, tables.seqs, tables.pair, tables.context, tables.j_decode, tables.j_mixed,
            tables.j_seqs, tables.j_pair, tables.j_context, tables.limits, tables.numbers, arrival, input_tokens,
            output_tokens, steps, clients, first, finish, totals, log, marks,
        )  # fmt: skip
        if totals[3] <= room or not record:
            break
        room = int(totals[3])
        arrival = arrival_s.astype(np.float64).copy()
        first, finish = np.full(n, np.nan), np.full(n, np.nan)
    used = log[: int(totals[3])]
    return SoloResult(first, finish, arrival, totals[0], totals[1], totals[2], tables.active_w, used, marks)


@njit(cache=True)
def _pairs(start: int, count: int, limit: int) -> float:
    """Keys seen by ``count`` tokens from position ``start``; limit 0 = unlimited."""
    if limit == 0 or start + count <= limit:
        return count * start + 0.5 * count * (count + 1)
    below = max(0, limit - start)
    return below * start + 0.5 * below * (below + 1) + float(count - below) * limit


@njit(cache=True)
def _leap(base, slope, steps, out):  # type: ignore[no-untyped-def]
    """Σ over j < steps of max_l(base_l + slope_l·j)."""
    total, j = 0.0, 0
    lines = len(base)
    while j < steps:
        best = 0
        for line in range(1, lines):
            a, b = base[line] + slope[line] * j, base[best] + slope[best] * j
            if a > b or (a == b and slope[line] > slope[best]):
                best = line
        end = steps
        for line in range(lines):
            gain = slope[line] - slope[best]
            if gain > 0.0:
                gap = base[best] + slope[best] * j - base[line] - slope[line] * j
                cross = j + int(gap / gain) + 1
                end = min(end, cross)
        k = end - j
        total += k * (base[best] + slope[best] * j) + slope[best] * 0.5 * k * (k - 1)
        j = end
    out[0] = total


@njit(cache=True)
def _solo(  # type: ignore[no-untyped-def]
    decode, mixed, seqs, pair, context, j_decode, j_mixed, j_seqs, j_pair, j_context, limits, numbers,
    arrival, isl, osl, msteps, clients, first, finish, totals, log, marks,
):  # fmt: skip
    max_seqs, budget, blocks, size = numbers[0], numbers[1], numbers[2], numbers[3]
    reserve, alone, chunked, interval = numbers[4] == 1, numbers[5] == 1, numbers[6] == 1, numbers[7]
    n = len(arrival)
    lines = decode.shape[0]
    top_mixed = mixed.shape[1] - 1
    run = np.empty(max_seqs + 1, np.int64)  # running requests in order of admission
    stored = np.zeros(n, np.int64)  # tokens whose K/V are stored
    goal = isl.copy()  # tokens to prefill
    left = msteps.copy()  # decode steps still owed
    held = np.zeros(n, np.int64)
    queue = np.empty(4 * n + 16, np.int64)
    head, tail = 2 * n, 2 * n
    next_arrival = 0
    known = n if clients == 0 else min(clients, n)
    nrun, free, done, t, dynamic, busy, stepno = 0, blocks, 0, 0.0, 0.0, 0.0, 0
    base, slope, out = np.empty(lines), np.empty(lines), np.empty(1)
    seg, cap = 0, len(log)
    chunk = np.zeros(max_seqs + 1, np.int64)
    while done < n:
        while next_arrival < known and arrival[next_arrival] <= t:
            queue[tail] = next_arrival
            tail += 1
            next_arrival += 1
        if nrun == 0 and head == tail:
            if arrival[next_arrival] > t:
                t = arrival[next_arrival]
                seg += 1  # an idle segment: all zero
            stepno = 0
            continue
        # decode sequences need a block each time they cross a block boundary
        ndec = 0
        nfill = 0
        preempted = False
        for i in range(nrun):
            if stored[run[i]] >= goal[run[i]]:
                ndec += 1
            else:
                nfill += 1
        room = budget - (0 if alone else ndec)
        fills_first = alone
        tokens = 0
        # running prefills, then admission
        for i in range(nrun):
            chunk[i] = 0
        if not fills_first and not reserve:
            i = 0
            while i < nrun:
                r = run[i]
                if stored[r] >= goal[r] and stored[r] + 1 > held[r] * size:
                    while free == 0 and nrun > 0:
                        v = run[nrun - 1]
                        nrun -= 1
                        preempted = True
                        free += held[v]
                        held[v] = 0
                        head -= 1
                        queue[head] = v
                        if stored[v] >= goal[v]:
                            produced = max(0, stored[v] - isl[v]) + 1
                            goal[v] = isl[v] + produced
                        stored[v] = 0
                        if v == r:
                            break
                    if i >= nrun:
                        break
                    held[r] += 1
                    free -= 1
                i += 1
            ndec = 0
            for i in range(nrun):
                if stored[run[i]] >= goal[run[i]]:
                    ndec += 1
            room = budget - ndec
        for i in range(nrun):
            r = run[i]
            if stored[r] < goal[r] and room > 0:
                chunk[i] = min(goal[r] - stored[r], room)
                room -= chunk[i]
                tokens += chunk[i]
        allowed = not preempted and (interval <= 1 or ndec == 0 or stepno % interval == 0)
        while allowed and head < tail and nrun < max_seqs and room > 0:
            r = queue[head]
            need = (isl[r] + osl[r] - 1 + size - 1) // size if reserve else (goal[r] + size - 1) // size
            if need > free:
                if nrun == 0:
                    need = free  # a single request larger than the cache: the row's settings are off
                else:
                    break
            if not chunked and goal[r] > room and tokens > 0:
                break
            head += 1
            held[r] = need
            free -= need
            run[nrun] = r
            chunk[nrun] = min(goal[r], room) if chunked else goal[r]
            room -= chunk[nrun]
            tokens += chunk[nrun]
            nrun += 1
        if tokens > 0:
            # a step with prefill tokens
            q0, q1, q2, s0, s1, s2, o = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
            for i in range(nrun):
                r = run[i]
                if chunk[i] > 0:
                    q0 += _pairs(stored[r], chunk[i], 0)
                    if limits[0] > 0:
                        q1 += _pairs(stored[r], chunk[i], limits[0])
                    if limits[1] > 0:
                        q2 += _pairs(stored[r], chunk[i], limits[1])
                    if stored[r] + chunk[i] >= goal[r]:
                        o += 1
                elif stored[r] >= goal[r] and not alone:
                    keys = stored[r] + 1
                    s0 += keys
                    if limits[0] > 0:
                        s1 += min(keys, limits[0])
                    if limits[1] > 0:
                        s2 += min(keys, limits[1])
                    o += 1
            total = tokens + (0 if alone else ndec)
            index = min(total, top_mixed)
            over = total - index
            o = min(o, max_seqs)
            step, best_line = 0.0, 0
            for line in range(lines):
                cost = mixed[line, index] + over * (mixed[line, top_mixed] - mixed[line, top_mixed - 1])
                cost += seqs[line, o] + pair[line, 0] * q0 + pair[line, 1] * q1 + pair[line, 2] * q2
                cost += context[line, 0] * s0 + context[line, 1] * s1 + context[line, 2] * s2
                if cost > step:
                    step, best_line = cost, line
            if seg < cap:
                log[seg, 0], log[seg, 1], log[seg, 2], log[seg, 3] = 1, 0 if alone else ndec, total, o
                log[seg, 4], log[seg, 5], log[seg, 6] = q0, q1, q2
                log[seg, 7], log[seg, 8], log[seg, 9], log[seg, 10] = s0, s1, s2, best_line
            seg += 1
            joules = j_mixed[index] + over * (j_mixed[top_mixed] - j_mixed[top_mixed - 1]) + j_seqs[o]
            joules += j_pair[0] * q0 + j_pair[1] * q1 + j_pair[2] * q2
            dynamic += joules + j_context[0] * s0 + j_context[1] * s1 + j_context[2] * s2
            t += step
            busy += step
            stepno += 1
            keep = 0
            for i in range(nrun):
                r = run[i]
                gone = False
                if chunk[i] > 0:
                    stored[r] += chunk[i]
                    if stored[r] >= goal[r]:
                        if np.isnan(first[r]):
                            first[r] = t
                            marks[r, 1] = seg - 1
                            gone = left[r] == 0
                        else:
                            left[r] -= 1  # the token sampled at the end of a recompute
                            gone = left[r] <= 0
                elif stored[r] >= goal[r] and not alone:
                    stored[r] += 1
                    left[r] -= 1
                    gone = left[r] == 0
                if gone:
                    finish[r] = t
                    marks[r, 2] = seg - 1
                    free += held[r]
                    done += 1
                    if clients > 0 and known < n:
                        arrival[known] = t
                        marks[known, 0] = seg - 1
                        known += 1
                else:
                    run[keep] = r
                    keep += 1
            nrun = keep
            continue
        # a leap of pure decode steps
        k = 1 << 40
        s0, s1, s2, g1, g2 = 0.0, 0.0, 0.0, 0, 0
        for i in range(nrun):
            r = run[i]
            keys = stored[r] + 1
            k = min(k, left[r])
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
        if not reserve:
            # stop before any block is missing: the free blocks last at least this many steps
            safe = 1
            if free > nrun:
                safe = ((free // nrun) - 1) * size + 1
            k = min(k, max(1, safe))
        if head < tail and nrun < max_seqs and interval > 1:
            k = min(k, interval - stepno % interval)
        for line in range(lines):
            base[line] = decode[line, nrun] + context[line, 0] * s0 + context[line, 1] * s1 + context[line, 2] * s2
            slope[line] = context[line, 0] * nrun + context[line, 1] * g1 + context[line, 2] * g2
        if next_arrival < known and nrun < max_seqs:
            gap = arrival[next_arrival] - t
            low, high = 1, k
            while low < high:  # first boundary at or after the arrival
                middle = (low + high) // 2
                _leap(base, slope, middle, out)
                if out[0] >= gap:
                    high = middle
                else:
                    low = middle + 1
            k = low
        _leap(base, slope, k, out)
        if seg < cap:
            half = 0.5 * (k - 1)
            log[seg, 0], log[seg, 1], log[seg, 2], log[seg, 3] = k, nrun, 0, nrun
            log[seg, 7], log[seg, 8], log[seg, 9] = s0 + half * nrun, s1 + half * g1, s2 + half * g2
            best_line = 0
            for line in range(1, lines):
                if base[line] + slope[line] * half > base[best_line] + slope[best_line] * half:
                    best_line = line
            log[seg, 10] = best_line
        seg += 1
        t += out[0]
        busy += out[0]
        stepno += k
        extra = 0.5 * k * (k - 1)
        dynamic += k * (j_decode[nrun] + j_context[0] * s0 + j_context[1] * s1 + j_context[2] * s2)
        dynamic += extra * (j_context[0] * nrun + j_context[1] * g1 + j_context[2] * g2)
        keep = 0
        for i in range(nrun):
            r = run[i]
            stored[r] += k
            left[r] -= k
            if not reserve:
                want = (stored[r] + size - 1) // size
                if want > held[r]:
                    free -= want - held[r]
                    held[r] = want
            if left[r] == 0:
                finish[r] = t
                marks[r, 2] = seg - 1
                free += held[r]
                done += 1
                if clients > 0 and known < n:
                    arrival[known] = t
                    marks[known, 0] = seg - 1
                    known += 1
            else:
                run[keep] = r
                keep += 1
        nrun = keep
    totals[0], totals[1], totals[2], totals[3] = busy, dynamic, t, seg
