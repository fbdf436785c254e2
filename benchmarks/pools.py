"""Disaggregated services: prefill replicas × decode replicas × how many of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.deployment import Deployment
from tokenworks.plan.ask import Array
from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide import Wide

Ints = NDArray[np.int64]
MOST_WORKERS = 8  # of a pool, in the ratios that are tried


@dataclass(frozen=True)
class Pools:
    """One row: a prefill configuration, a decode configuration, and the best ratio of their workers."""

    prefill: Ints  # (n,) rows of the wide pass
    decode: Ints
    prefill_workers: Ints
    decode_workers: Ints
    gpus: Ints  # of both pools
    requests_s: Array  # of the slower pool
    output_tokens_s: Array
    ttft_s: Array  # mean, of the prefill pool at its row
    tpot_s: Array  # mean, of the decode pool at its row, KV transfer included
    board_w: Array  # a pool with less to do than it can draws idle watts for the rest of the time
    tried: int  # distinct combinations of prefill row, decode row and ratio that were looked at

    def __len__(self) -> int:
        return len(self.prefill)


def pools(shapes: Sequence[Shape], found: Wide, ttft_s: float | None = None, most: int = MOST_WORKERS) -> Pools:
    """For every prefill shape and every decode configuration that could share a service, the ratio of workers with the
    most requests per second and GPU.

    Of each prefill shape only its best configuration under the TTFT objective is looked at: both pools' rates enter
    min(P · prefill rate, D · decode rate) / (P · prefill GPUs + D · decode GPUs) monotonically and the TTFT depends on
    the prefill pool alone, so that no other configuration of that shape gives more. Pools of one service differ in
    degrees and limits alone.
    """
    first = _best_prefill(shapes, found, ttft_s)
    decode = _rows(shapes, found, "decode")
    parts = [_group(found, *pair, most) for pair in _groups(shapes, found, first, decode)]
    return _joined(parts, int(sum(p.tried for p in parts)))


def best_of_shapes(of: Pools, found: Wide, tpot_s: float | None = None) -> Pools:
    """The row with the most requests per second and GPU of each (prefill shape, decode shape), under a TPOT objective."""
    fits = np.flatnonzero(of.tpot_s <= (np.inf if tpot_s is None else tpot_s))
    order = fits[np.argsort(-(of.requests_s / of.gpus)[fits], kind="stable")]
    pair = np.stack([found.shape[of.prefill[order]], found.shape[of.decode[order]]], axis=1)
    _, at = np.unique(pair, axis=0, return_index=True)
    return _chosen(of, order[at])


@cache
def ratios(most: int) -> tuple[tuple[int, int], ...]:
    """(prefill workers, decode workers) in lowest terms, up to so many of each."""
    return tuple((p, d) for p in range(1, most + 1) for d in range(1, most + 1) if gcd(p, d) == 1)


def family(shape: Shape) -> tuple[str, Deployment]:
    """What the pools of one service share: all but degrees and limits."""
    return shape.system, replace(shape.deployment, tp=1, pp=1, dp=1, ep=1, max_seqs=1, token_budget=1, pool_speed=1.0)


def _rows(shapes: Sequence[Shape], found: Wide, role: str) -> Ints:
    wanted = np.array([s.role == role for s in shapes])
    return np.flatnonzero(wanted[found.shape])


def _best_prefill(shapes: Sequence[Shape], found: Wide, ttft_s: float | None) -> Ints:
    """The row with the highest rate of each prefill shape that keeps the mean TTFT."""
    own = _rows(shapes, found, "prefill")
    own = own[found.ttft_s[own] <= (np.inf if ttft_s is None else ttft_s)]
    order = own[np.lexsort((-found.requests_s[own], found.shape[own]))]
    _, at = np.unique(found.shape[order], return_index=True)
    return order[at]


def _groups(shapes: Sequence[Shape], found: Wide, first: Ints, second: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Prefill and decode rows by family."""
    numbers: dict[tuple[str, Deployment], int] = {}
    of = np.array([numbers.setdefault(family(s), len(numbers)) for s in shapes], dtype=np.int64)
    ours, theirs = of[found.shape[first]], of[found.shape[second]]
    for number in range(len(numbers)):
        pair = first[ours == number], second[theirs == number]
        if len(pair[0]) and len(pair[1]):
            yield pair


def _group(found: Wide, first: Ints, second: Ints, most: int) -> Pools:
    """All pairs of one family, each with its best ratio: arrays (prefill, decode), one ratio after the other."""
    x1, x2 = found.requests_s[first][:, None], found.requests_s[second][None, :]
    g1, g2 = found.gpus[first][:, None], found.gpus[second][None, :]
    best, which = np.full((len(first), len(second)), -1.0), np.zeros((len(first), len(second)), np.int64)
    for k, (p, d) in enumerate(ratios(most)):
        each = np.minimum(p * x1, d * x2) / (p * g1 + d * g2)
        better = each > best * (1 + 1e-12)
        best, which = np.where(better, each, best), np.where(better, k, which)
    p, d = np.array(ratios(most))[which.ravel()].T
    i, j = np.repeat(first, len(second)), np.tile(second, len(first))
    return _pools(found, i, j, p, d, len(first) * len(second) * len(ratios(most)))


def _pools(found: Wide, i: Ints, j: Ints, p: Ints, d: Ints, tried: int) -> Pools:
    requests_s = np.minimum(p * found.requests_s[i], d * found.requests_s[j])
    per_request = found.output_tokens_s[j] / found.requests_s[j] + 1.0
    return Pools(
        i, j, p, d,
        p * found.gpus[i] + d * found.gpus[j],
        requests_s,
        requests_s * per_request,
        found.ttft_s[i],
        found.tpot_s[j],
        _board_w(found, i, p, requests_s) + _board_w(found, j, d, requests_s),
        tried,
    )  # fmt: skip


def _board_w(found: Wide, row: Ints, workers: Ints, requests_s: Array) -> Array:
    used = requests_s / (workers * found.requests_s[row])
    return np.asarray(workers * (found.idle_w[row] + used * (found.board_w[row] - found.idle_w[row])))


def _chosen(of: Pools, rows: Ints) -> Pools:
    columns: dict[str, Any] = {n: getattr(of, n)[rows] for n in Pools.__dataclass_fields__ if n != "tried"}
    return Pools(**columns, tried=of.tried)


def _joined(parts: Sequence[Pools], tried: int) -> Pools:
    none = np.zeros(0, np.int64)
    columns: dict[str, Any] = {}
    for name in Pools.__dataclass_fields__:
        if name != "tried":
            columns[name] = np.concatenate([getattr(p, name) for p in parts]) if parts else none
    return Pools(**columns, tried=tried)
