"""Configurations of one service at its demand, as columns: the wide pass laid out on every kind of system.

An aggregated row is a replica at an operating point; it is repeated until the demand is a stated share of its capacity
(headroom). A disaggregated row pairs a prefill with a decode configuration of the same system, engine and formats; each
pool is as large as the demand needs. Pairs are made of the pools that nothing else beats in both GPUs and latency (or
watts and latency): another pool costs more and is not faster, so no plan is lost but by the rounding to whole systems.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.sample import Asked
from tokenworks.plan.shapes import Shape
from tokenworks.plan.systems import Kind
from tokenworks.plan.wide import Wide

Ints = NDArray[np.int64]
NONE = -1


@dataclass(frozen=True)
class Table:
    """One service's configurations; columns (n,)."""

    kind: Ints  # of system
    main: Ints  # row of the wide pass that decodes
    prefill: Ints  # row of the prefill pool; NONE: aggregated
    workers: Array  # aggregated or decode
    prefill_workers: Array
    gpus: Array  # used
    share: Array  # systems needed, not yet whole
    capacity_s: Array  # requests per second that all of them sustain
    rate_s: Array  # requests per second that they are planned for
    ttft_s: Array
    tpot_s: Array
    e2e_s: Array
    board_w: Array  # of the used boards at the planned rate
    busy: Array  # share of the used GPUs' time
    kv_share: Array

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: NDArray[np.generic]) -> Table:
        return Table(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Space:
    """The wide pass of one service and what it was made of."""

    asked: Asked
    shapes: tuple[Shape, ...]
    wide: Wide
    kinds: tuple[Kind, ...]
    left_out: dict[str, int]
    idle_w: dict[str, float]  # of one board, by system


def table(space: Space, rate_s: float | None, headroom: float, slower: float = 1.0) -> Table:
    """All configurations for a rate; ``rate_s`` None: one worker (of each pool as many as go with one) and what it carries.
    ``slower``: every replica does this share of what the wide pass says (its lower bound)."""
    roles = np.array([s.role for s in space.shapes])[space.wide.shape]
    parts = []
    for number, kind in enumerate(space.kinds):
        here = np.array([s.system == kind.system for s in space.shapes])[space.wide.shape]
        parts.append(_aggregated(space, number, np.flatnonzero(here & (roles == "serve")), rate_s, headroom, slower))
        for prefill, decode in _groups(space, here, roles):
            parts.append(_apart(space, number, prefill, decode, rate_s, headroom, slower))
    return Table(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Table)})


def _aggregated(space: Space, number: int, rows: Ints, rate_s: float | None, headroom: float, slower: float) -> Table:
    wide, kind = space.wide, space.kinds[number]
    able = wide.requests_s[rows] * slower
    workers = np.ones(len(rows)) if rate_s is None else np.ceil(rate_s / (able * (1 - headroom)) - 1e-9)
    planned = able * (1 - headroom) if rate_s is None else np.full(len(rows), rate_s)
    capacity, gpus = workers * able, wide.gpus[rows].astype(float)
    busy = planned / capacity
    idle = space.idle_w[kind.system] * gpus
    return Table(
        kind=np.full(len(rows), number),
        main=rows,
        prefill=np.full(len(rows), NONE),
        workers=workers,
        prefill_workers=np.zeros(len(rows)),
        gpus=workers * gpus,
        share=workers / np.maximum(1, kind.gpus // gpus),
        capacity_s=capacity,
        rate_s=planned,
        ttft_s=wide.ttft_s[rows],
        tpot_s=wide.tpot_s[rows],
        e2e_s=wide.ttft_s[rows] + wide.tpot_s[rows] * (space.asked.output_p95 - 1),
        board_w=workers * (busy * wide.board_w[rows] + (1 - busy) * idle),
        busy=busy,
        kv_share=wide.kv_share[rows],
    )


def _groups(space: Space, here: NDArray[np.bool_], roles: NDArray[np.str_]) -> Iterator[tuple[Ints, Ints]]:
    """Rows of prefill and decode that can work together: same engine and formats."""
    keys = [(d.engine, d.weights, d.kv, d.draft_tokens) for d in (s.deployment for s in space.shapes)]
    distinct = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    group = np.array([distinct[key] for key in keys])[space.wide.shape]
    for g in range(len(distinct)):
        mine = here & (group == g)
        prefill, decode = np.flatnonzero(mine & (roles == "prefill")), np.flatnonzero(mine & (roles == "decode"))
        if len(prefill) and len(decode):
            yield prefill, decode


def unbeaten(cost: Array, latency: Array) -> Ints:
    """Rows that no other beats in both, by cost; of equal ones the first.

    >>> unbeaten(np.array([3.0, 1.0, 2.0, 2.0]), np.array([1.0, 3.0, 3.0, 2.0])).tolist()
    [1, 3, 0]
    """
    order = np.lexsort((latency, cost))
    best = np.minimum.accumulate(np.concatenate([[np.inf], latency[order][:-1]]))
    return order[latency[order] < best]


def _kept(need: Array, watts: Array, latency: Array) -> Ints:
    return np.union1d(unbeaten(need, latency), unbeaten(watts, latency))


def _apart(
    space: Space, number: int, prefill: Ints, decode: Ints, rate_s: float | None, headroom: float, slower: float
) -> Table:
    """Every kept prefill pool with every kept decode pool."""
    wide, kind = space.wide, space.kinds[number]
    first = _pool(space, kind, prefill, rate_s, headroom, slower)
    second = _pool(space, kind, decode, rate_s, headroom, slower)
    p = _kept(first.gpus, first.board_w, wide.ttft_s[prefill])
    d = _kept(second.gpus, second.board_w, wide.tpot_s[decode])
    i, j = (x.ravel() for x in np.meshgrid(p, d, indexing="ij"))
    a, b = first.take(i), second.take(j)
    if rate_s is None:  # one worker of the slower pool, as many of the other as keep up with it
        a, b = _matched(a, b)
    rate = np.minimum(a.rate_s, b.rate_s)
    gpus = a.gpus + b.gpus
    ttft, tpot = wide.ttft_s[prefill[i]], wide.tpot_s[decode[j]]
    return Table(
        kind=np.full(len(i), number),
        main=decode[j],
        prefill=prefill[i],
        workers=b.workers,
        prefill_workers=a.workers,
        gpus=gpus,
        share=together(kind.gpus, wide.gpus[prefill[i]], a.workers, wide.gpus[decode[j]], b.workers),
        capacity_s=np.minimum(a.capacity_s, b.capacity_s),
        rate_s=rate,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=ttft + tpot * (space.asked.output_p95 - 1),
        board_w=a.board_w + b.board_w,
        busy=(a.busy * a.gpus + b.busy * b.gpus) / gpus,
        kv_share=np.maximum(a.kv_share, b.kv_share),
    )


def _pool(space: Space, kind: Kind, rows: Ints, rate_s: float | None, headroom: float, slower: float) -> Table:
    number = space.kinds.index(kind)
    return _aggregated(space, number, rows, rate_s, headroom, slower)


def _matched(a: Table, b: Table) -> tuple[Table, Table]:
    """Pools of one unit: the ratio of their rates, in whole workers."""
    rate = np.maximum(a.rate_s, b.rate_s)

    def grown(t: Table) -> Table:
        times = np.ceil(rate / t.rate_s - 1e-9)
        names = ("workers", "gpus", "capacity_s", "board_w", "share")
        return replace(t, **{n: getattr(t, n) * times for n in names}, rate_s=t.rate_s * times)

    return grown(a), grown(b)


def together(system_gpus: int, a_gpus: Array | Ints, a: Array, b_gpus: Array | Ints, b: Array) -> Array:
    """Systems that hold ``a`` workers of ``a_gpus`` and ``b`` of ``b_gpus``, the larger ones first; no worker lies in two
    systems. All but the last system are full as far as the sizes allow.

    >>> together(8, np.array([4.0]), np.array([1.0]), np.array([2.0]), np.array([2.0])).tolist()
    [1.0]
    >>> together(72, np.array([64.0]), np.array([1.0]), np.array([8.0]), np.array([2.0])).tolist()
    [2.0]
    """
    swap = b_gpus > a_gpus
    big, small = np.where(swap, b_gpus, a_gpus), np.where(swap, a_gpus, b_gpus)
    n_big, n_small = np.where(swap, b, a), np.where(swap, a, b)
    per = np.maximum(1, system_gpus // big)
    full, rest = np.divmod(n_big, per)
    room = full * ((system_gpus - per * big) // small) + np.where(rest > 0, (system_gpus - rest * big) // small, 0)
    more = np.maximum(0, n_small - room)
    return np.asarray(full + (rest > 0) + np.ceil(more / np.maximum(1, system_gpus // small)))
