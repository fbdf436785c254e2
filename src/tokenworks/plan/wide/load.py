"""A replica under Poisson arrivals: from operating points at fixed batches to a load that makes the batch fluctuate.

A replica whose n requests share it and complete at the rate x(n) is a processor-sharing queue with state-dependent rates:
π(n) ∝ Π_{j ≤ n} λ / x(j), whatever the distribution of the requests' sizes (insensitivity: Cohen, Acta Informatica 12,
1979; Kelly, Reversibility and Stochastic Networks, 1979). Where n stands at the largest batch further requests wait: a
geometric tail with ratio λ / x(N).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.wide.rows import Ints
from tokenworks.plan.wide.steady import Wide


@dataclass(frozen=True)
class Points:
    """Operating points of one replica at ascending numbers of requests in it."""

    inside: Array  # requests in the replica, all ranks
    requests_s: Array
    ttft_s: Array
    tpot_s: Array
    board_w: Array
    idle_w: float
    ttft_p95_s: Array


@dataclass(frozen=True)
class Load:
    """Means over requests, and what 95% of them do not pass if the batch stays as they find it; infinite where the
    replica cannot serve the rate."""

    inside: float  # mean requests in the replica
    waiting: float  # mean requests before it
    ttft_s: float  # with the wait for a place
    tpot_s: float
    tpot_p95_s: float
    board_w: float
    ttft_p95_s: float


def points(found: Wide, rows: Ints, ranks: int) -> Points:
    """The rows of one shape, in order of their batches, as operating points of a replica with so many ranks."""
    return Points(
        inside=found.batch[rows] * np.float64(ranks),
        requests_s=found.requests_s[rows],
        ttft_s=found.ttft_s[rows],
        tpot_s=found.tpot_s[rows],
        board_w=found.board_w[rows],
        idle_w=float(found.idle_w[rows[0]]),
        ttft_p95_s=found.ttft_p95_s[rows],
    )


def loaded(points: Points, rate_s: float, variation: float = 1.0) -> Load:
    """The replica at this many requests per second. variation: squared coefficient of the requests' sizes (output tokens),
    by which the wait for a place grows as (1 + cv²) / 2 (Lee and Longton 1959)."""
    most = int(points.inside[-1])
    n = np.arange(1.0, most + 1)
    x = np.interp(n, np.concatenate([[0.0], points.inside]), np.concatenate([[0.0], points.requests_s]))
    spare = 1.0 - rate_s / x[-1]
    if spare <= 0:
        full = float(points.tpot_s[-1])
        return Load(float(most), np.inf, np.inf, full, full, float(points.board_w[-1]), np.inf)
    weight = np.concatenate([[0.0], np.cumsum(np.log(rate_s) - np.log(x))])
    chance = np.exp(weight - weight.max())
    chance[-1] /= spare  # full, and all that wait
    chance /= chance.sum()
    waiting = float(chance[-1] * (1.0 - spare) / spare) * (1.0 + variation) / 2.0
    of = lambda values: np.interp(n, points.inside, values)  # noqa: E731
    seen = chance[1:] * n  # a request's time is spent where there are many
    tpot = float(seen @ of(points.tpot_s) / seen.sum())
    place = int(np.searchsorted(np.cumsum(seen) / seen.sum(), 0.95))
    found = np.concatenate([chance[:-2], [chance[-2] + chance[-1]]]) if most > 1 else np.ones(1)
    return Load(
        float(chance[1:] @ n),
        waiting,
        float(found @ of(points.ttft_s)) + waiting / rate_s,
        tpot,
        float(of(points.tpot_s)[min(place, most - 1)]),
        float(chance[0] * points.idle_w + chance[1:] @ of(points.board_w)),
        float(found @ of(points.ttft_p95_s)) + _late(waiting / rate_s, float(chance[-1])),
    )


def _late(wait_s: float, chance: float) -> float:
    """95th percentile of a wait that is exponential for those who wait, of this chance."""
    return wait_s / chance * float(np.log(chance / 0.05)) if chance > 0.05 else 0.0
