"""Prefill and decode pools of a disaggregated service: which are worth pairing, and what a pair is.

Pools of one system, engine and formats are paired. Of each role only those are that no other of the same role beats in
everything that a pair is judged by: latency, GPUs, watts above idle, busy GPU time, and how coarse its workers are. Why no plan is
lost by that: take any pair and put what beats its pool in its place.

- TTFT is the prefill pool's, TPOT the decode pool's, E2E grows with both: none gets longer. KV comes by the links of a domain
  where all GPUs of the pair fit one: decode pools are judged by TPOT with and without, and a pool of no more GPUs fits too.
- GPUs, watts above idle and busy GPU time of a pair are sums over its pools: none grows. Idle watts are those of whole
  systems, used or not.
- Systems. Replicas have powers of two of GPUs, so that a smaller worker divides a larger one: where a worker stood, several
  of a finer pool fit with no more GPUs, and the packing of `together` is the best for sizes that divide each other (first
  fit decreasing: Coffman, Garey and Johnson, J. Complexity 3, 1987). Workers that divide the system are all equally fine:
  they fill it whatever their size.
- Dollars, capex, carbon and joules grow with systems, watts and busy time and with nothing else. The network between
  systems grows with these (tested), and all pairs need it alike.

Goodput has no rate before its limits are filled (`filling`): there pools are compared per request, and the best pair may be
missed by the rounding of each pool to whole workers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Ints, Space, Table, aggregated
from tokenworks.plan.fronts import pareto


def pairs(space: Space, number: int, rate_s: float | None, headroom: float, slower: float) -> Iterator[Table]:
    """Tables of all pairs on one kind of system, by engine and formats."""
    here = np.array([s.system == space.kinds[number].system for s in space.shapes])[space.wide.shape]
    for prefill, decode in _groups(space, np.flatnonzero(here & (space.wide.kv_share <= 1.0))):
        yield _apart(space, number, prefill, decode, rate_s, headroom, slower)


def _groups(space: Space, rows: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Of these rows those of prefill and decode that can work together: same engine and formats."""
    of, roles = space.wide.shape[rows], np.array([s.role for s in space.shapes])
    keys = [(d.engine, d.weights, d.kv, d.draft_tokens) for d in (s.deployment for s in space.shapes)]
    distinct = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    group = np.array([distinct[key] for key in keys])
    for g in range(len(distinct)):
        prefill, decode = (rows[((group == g) & (roles == role))[of]] for role in ("prefill", "decode"))
        if len(prefill) and len(decode):
            yield prefill, decode


def _apart(
    space: Space, number: int, prefill: Ints, decode: Ints, rate_s: float | None, headroom: float, slower: float
) -> Table:
    """Every kept prefill pool with every kept decode pool."""
    wide, kind = space.wide, space.kinds[number]
    first, second = (aggregated(space, number, rows, rate_s, headroom, slower) for rows in (prefill, decode))
    p, d = (
        worth_pairing(pool, wide.gpus[rows], late, kind.gpus, space.idle_w[kind.system], rate_s is None)
        for pool, rows, late in (
            (first, prefill, (wide.ttft_s[prefill],)),
            (second, decode, (wide.tpot_s[decode], wide.near_tpot_s[decode])),
        )
    )
    i, j = (x.ravel() for x in np.meshgrid(p, d, indexing="ij"))
    if rate_s is None:  # a unit, of which `filling` knows how often it fits
        rates = np.fmin(first.rate_s[i], second.rate_s[j])
        return joined_pools(space, number, prefill[i], decode[j], rates, headroom, slower)
    return joined_pools(space, number, prefill[i], decode[j], rate_s, headroom, slower)


def joined_pools(
    space: Space, number: int, prefill: Ints, decode: Ints, rate_s: Array | float, headroom: float, slower: float
) -> Table:
    """Pairs of pools, row by row, each as large as the rate needs."""
    wide, kind = space.wide, space.kinds[number]
    a, b = (aggregated(space, number, rows, rate_s, headroom, slower) for rows in (prefill, decode))
    gpus = a.gpus + b.gpus
    ttft = wide.ttft_s[prefill]
    tpot = np.where(gpus <= kind.domain_gpus, wide.near_tpot_s[decode], wide.tpot_s[decode])
    return Table(
        kind=np.full(len(prefill), number),
        main=decode,
        prefill=prefill,
        workers=b.workers,
        prefill_workers=a.workers,
        gpus=gpus,
        share=together(kind.gpus, wide.gpus[prefill], a.workers, wide.gpus[decode], b.workers),
        capacity_s=np.minimum(a.capacity_s, b.capacity_s),
        rate_s=b.rate_s,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=ttft + tpot * (space.asked.output_p95 - 1),
        board_w=a.board_w + b.board_w,
        busy=(a.busy * a.gpus + b.busy * b.gpus) / gpus,
        kv_share=np.maximum(a.kv_share, b.kv_share),
    )


def worth_pairing(
    pool: Table, worker_gpus: Ints, latency_s: tuple[Array, ...], system_gpus: int, idle_w: float, per_request: bool
) -> Ints:
    """Rows of a pool that no other beats. ``idle_w``: of one board; ``per_request``: pools of unequal rates."""
    coarse = np.where(system_gpus % worker_gpus == 0, 0, worker_gpus).astype(float)
    by = pool.rate_s if per_request else np.ones(len(pool))
    above_w = pool.board_w - pool.gpus * idle_w
    return pareto(np.stack([coarse, pool.gpus / by, above_w / by, pool.busy * pool.gpus / by, *latency_s], axis=1))


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
