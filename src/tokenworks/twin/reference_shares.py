"""The reference simulator that also says whose seconds and joules each step was: docs/decisions/0011, one step at a time.

As slow and plain as `reference_features`: every step is divided over its batch, request by request, in Python integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Allocation, Cell, TwinOptions
from tokenworks.twin.reference import FINE, _at, _keys
from tokenworks.twin.reference_features import FeatureReference

TICKS_PER_MICROJOULE = 10**11  # microwatts × ticks
WEIGHT_BITS = 51  # static draw is divided by worker time in at most so many bits


@dataclass
class Prices:
    """What one quantity (0 time, 1 energy) of a step costs by what takes part in it, in fine units."""

    spent: int
    context: list[int]  # a key of a decode sequence, by class
    pair: list[int]  # a key of a prefill token, by class
    fixed: int
    sequence: int = 0
    token: int = 0


@dataclass
class Meter:
    """A worker's division: what the last step left over, what requests left of a unit, what nobody got. [time, energy]"""

    rest: list[int] = field(default_factory=lambda: [0, 0])
    settled: list[int] = field(default_factory=lambda: [0, 0])
    lost: list[int] = field(default_factory=lambda: [0, 0])


class SharingReference(FeatureReference):
    """`own`: fine shares of requests since they came to their worker; `parts`: (worker, [ticks, µJ]) where they left."""

    def __init__(self, cell: Cell, requests: Requests, options: TwinOptions):
        super().__init__(cell, requests, options)
        self.meters = [Meter() for _ in self.workers]
        self.place = {id(worker): w for w, worker in enumerate(self.workers)}
        self.own = [[0, 0] for _ in self.requests]
        self.parts: list[dict[int, list[int]]] = [{} for _ in self.requests]
        self.left: list[int] = []  # who finished, in this order

    def run(self) -> int:
        end = super().run()
        for r in self.requests:
            if any(self.own[r.number]):
                self._settle(self.workers[r.worker], r)
        return end

    # ------------------------------------------------------------------ a step

    def _end_step(self, worker: Any, now: int) -> None:
        self._share(worker)
        super()._end_step(worker, now)

    def _share(self, worker: Any) -> None:
        """Divide the step that ends over its batch."""
        mixed, alone = worker.mixed, worker.model.prefill_alone
        running = [r for rank in worker.ranks for r in rank.running]
        fills = [r for r in running if mixed and r.chunk]
        decoding = [r for r in running if r.decoding and not (mixed and (alone or r.chunk))]
        for q, price in enumerate((self._time_prices(worker), self._joule_prices(worker))):
            keys = {r.number: self._priced_keys(worker, r, price) for r in (*fills, *decoding)}
            self._divide(worker, q, price, sum(keys.values()), len(decoding), fills)
            for r in decoding:
                self.own[r.number][q] += keys[r.number] + price.sequence + price.token
            for r in fills:
                mine = keys[r.number] + price.sequence + price.token * r.chunk
                if r.first >= 0:  # computed before: nobody should pay twice
                    self._meter(worker).lost[q] += mine
                else:
                    self.own[r.number][q] += mine

    def _divide(self, worker: Any, q: int, price: Prices, keys: int, decoding: int, fills: list[Any]) -> None:
        """What no key pays for: in pure decode equally; else its fixed part by sequence and the rest by token."""
        meter, rest = self._meter(worker), price.spent - keys
        left, tokens = rest + meter.rest[q], decoding + sum(r.chunk for r in fills)
        if fills:
            price.sequence = min(rest, price.fixed) // (decoding + len(fills))
            left -= price.sequence * (decoding + len(fills))
        price.token, meter.rest[q] = divmod(left, tokens)

    @staticmethod
    def _priced_keys(worker: Any, r: Any, price: Prices) -> int:
        total = 0
        for k, limit in enumerate((0, *worker.model.limits)):
            if k == 0 or limit:
                if worker.mixed and r.chunk:
                    total += price.pair[k] * sum(_keys(p, limit) for p in range(r.stored, r.stored + r.chunk))
                else:
                    total += price.context[k] * _keys(r.stored, limit)
        return total

    def _time_prices(self, worker: Any) -> Prices:
        """Those of the longest line; a key of one of several ranks in lock-step costs its part of the mean rank."""
        x, table, ranks = self._longest(worker), worker.table, worker.model.ranks
        fixed = _at(table.mixed[x], 1) + _at(table.shared_mixed[x], 1)
        context, pair = ([int(a) // ranks for a in of[x]] for of in (table.context, table.pair))
        return Prices(worker.fine, context, pair, fixed)

    def _joule_prices(self, worker: Any) -> Prices:
        table = worker.table
        busy = sum(self._tokens(worker, rank) > 0 for rank in worker.ranks)
        fixed = busy * _at(table.joule_mixed, 1) + _at(table.joule_shared_mixed, 1)
        context, pair = ([int(a) for a in of] for of in (table.joule_context, table.joule_pair))
        return Prices(worker.joule_fine, context, pair, fixed)

    def _tokens(self, worker: Any, rank: Any) -> int:
        n, tokens, *_ = self._census(worker.model, rank, worker.mixed)
        return tokens if worker.mixed else n

    def _longest(self, worker: Any) -> int:
        """The line that the step took. Of equal ones: the first with prefill; in pure decode the one that grows fastest,
        then the one of the first rank, then the first."""
        table, mixed = worker.table, worker.mixed
        lines, total = range(table.decode.shape[0]), sum(self._tokens(worker, rank) for rank in worker.ranks)
        shared = table.shared_mixed if mixed else table.shared_decode
        found: list[tuple[int, int, int]] = []
        for rank in worker.ranks:
            for x in lines:
                value, slope = self._rank_line(worker, rank, x)
                found.append((value + _at(shared[x], total), 0 if mixed else slope, x))
        if mixed:
            worst = [max(value for value, _, y in found if y == x) for x in lines]
            return worst.index(max(worst))
        return max(found, key=lambda row: row[:2])[2]  # the first of the largest

    def _rank_line(self, worker: Any, rank: Any, x: int) -> tuple[int, int]:
        """A rank's part of a line, and by how much it grows in the next step."""
        table, model = worker.table, worker.model
        n, tokens, samples, q, s = self._census(model, rank, worker.mixed)
        count, mixed = (tokens, True) if worker.mixed else (n, False)
        if not count:
            return (rank.reload * FINE if mixed else 0), 0
        value = sum(int(a) * b for a, b in zip(table.context[x], s, strict=True))
        if mixed:
            value += sum(int(a) * b for a, b in zip(table.pair[x], q, strict=True))
            return value + _at(table.mixed[x], count) + _at(table.seqs[x], samples) + rank.reload * FINE, 0
        slope = int(table.context[x][0]) * n
        for k, limit in enumerate(model.limits, 1):
            if limit and model.tokens_per_step == 1.0:
                slope += int(table.context[x][k]) * sum(r.decoding and r.stored + 1 < limit for r in rank.running)
        return value + int(table.decode[x][n]), slope

    # ------------------------------------------------------------------ leaving a worker

    def _meter(self, worker: Any) -> Meter:
        return self.meters[self.place[id(worker)]]

    def _settle(self, worker: Any, r: Any) -> None:
        """Whole ticks and microjoules of a request that leaves; what is below one goes to the next that leaves."""
        meter, own = self._meter(worker), self.own[r.number]
        share = []
        for q in range(2):
            whole, meter.settled[q] = divmod(own[q] + meter.settled[q], FINE)
            share.append(whole)
        self.parts[r.number][self.place[id(worker)]] = share
        self.own[r.number] = [0, 0]

    def _enqueue(self, rank: Any, request: Any, front: bool) -> None:
        """At the front: preempted. A prefill that was not through is lost."""
        if front and request.first < 0:
            for q in range(2):
                self.meters[request.worker].lost[q] += self.own[request.number][q]
            self.own[request.number] = [0, 0]
        super()._enqueue(rank, request, front)

    def _prefilled(self, worker: Any, rank: Any, r: Any, now: int) -> None:
        if worker.prefills_only and r.steps:
            self._settle(worker, r)
        super()._prefilled(worker, rank, r, now)

    def _leave_if_done(self, worker: Any, rank: Any, r: Any, now: int) -> None:
        if r.done >= r.steps:
            self._settle(worker, r)
            self.left.append(r.number)
        super()._leave_if_done(worker, rank, r, now)

    # ------------------------------------------------------------------ the whole

    def allocation(self, end: int) -> Allocation:
        """Shares of requests, and per worker what was lost and what was idle."""
        n, workers = len(self.requests), len(self.workers)
        first, last = [-1] * n, [-1] * n
        ticks, early, dynamic, energy = ([0] * n for _ in range(4))
        idle_ticks, lost_ticks, idle_uj, lost_uj = ([0] * workers for _ in range(4))
        for w, worker in enumerate(self.workers):
            rows = [i for i in self._in_order() if w in self.parts[i]]
            shares = [self.parts[i][w] for i in rows]
            lost = [x >> 20 for x in self.meters[w].lost]
            active, static = self._static(w, worker, end)
            heat = self._heat(w, worker, active, [t for t, _ in shares] + [lost[0]])
            for i, (t, j), h in zip(rows, shares, heat, strict=False):
                ticks[i], dynamic[i], energy[i] = ticks[i] + t, dynamic[i] + j, energy[i] + j + h
                if worker.prefills_only:
                    first[i], early[i] = w, t
                else:
                    last[i] = w
            lost_ticks[w], lost_uj[w] = lost[0], lost[1] + heat[-1]
            idle_ticks[w] = end - sum(t for t, _ in shares) - lost[0]
            idle_uj[w] = worker.joules + static - sum(j for _, j in shares) - sum(heat) - lost[1]
        wide = [
            np.array(x, np.int64) for x in (ticks, early, dynamic, energy, idle_ticks, lost_ticks, idle_uj, lost_uj)
        ]
        return Allocation(np.array(first, np.int32), np.array(last, np.int32), *wide)

    def _in_order(self) -> list[int]:
        """Requests as they finished; the others follow by number."""
        done = set(self.left)
        return self.left + [i for i in range(len(self.requests)) if i not in done]

    def _heat(self, w: int, worker: Any, active: int, ticks: list[int]) -> list[int]:
        """Static draw of shares of worker time: what it draws where that is always the same, else its mean draw."""
        draws = {round(level.active_w * 10**6) for level in worker.model.levels}
        if any(w in cap.workers for cap in self.cell.caps) and len(draws) > 1:
            return _by_weight(active, ticks)
        draw = round(worker.model.levels[0].active_w * 10**6)
        ends = [sum(ticks[: i + 1]) * draw // TICKS_PER_MICROJOULE for i in range(len(ticks))]
        return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]

    def _static(self, w: int, worker: Any, end: int) -> tuple[int, int]:
        """(static draw while stepping, all static draw) in microjoules."""
        levels = zip(worker.model.levels, worker.level_ticks, strict=False)
        active = sum(round(level.active_w * 10**6) * ticks for level, ticks in levels)
        idle = round(worker.model.idle_w * 10**6) * (end - worker.busy)
        return active // TICKS_PER_MICROJOULE, (active + idle) // TICKS_PER_MICROJOULE


def _by_weight(total: int, weights: list[int]) -> list[int]:
    """Whole parts of a total in the order of the weights, each the difference of two rounded-down running sums."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    shift = max(0, whole.bit_length() - WEIGHT_BITS)
    parts, before, done = [], 0, 0
    for weight in weights:
        done += weight
        upto = total * (done >> shift) // (whole >> shift)
        parts.append(upto - before)
        before = upto
    return parts
