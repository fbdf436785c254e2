"""What each request cost its factory: worker time at the price of a GPU second, joules at the price of a joule, to the
micro-dollar. Idle and lost work are rows of their own; all rows sum to the total exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.shares import largest_remainder, sums_by
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import MICRO
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import Allocation

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RequestCosts:
    """Micro-dollars. Σ requests + Σ idle + Σ lost = total."""

    requests: Ints  # (requests,)
    idle: Ints  # (workers,) nothing ran
    lost: Ints  # (workers,) work done twice or for nothing
    total: int


@dataclass(frozen=True)
class Rates:
    """What a factory's time and energy cost."""

    usd_per_gpu_s: Decimal  # all that is paid for by the hour: depreciation or rent, space, staff …
    usd_per_j: Decimal  # of board energy, what is above the board included


def request_costs(shares: Allocation, gpus: NDArray[np.integer], rates: Rates) -> RequestCosts:
    """``gpus``: those of each worker, shape (workers,). Raises InputError for negative rates."""
    if rates.usd_per_gpu_s < 0 or rates.usd_per_j < 0:
        raise InputError(
            f"a GPU second at ${rates.usd_per_gpu_s} and a joule at ${rates.usd_per_j}: both must be 0 or more"
        )
    count, workers = len(shares.ticks), len(shares.idle_ticks)
    per_tick = float(rates.usd_per_gpu_s * MICRO / TICKS_PER_S)
    ideal = np.concatenate([
        _gpu_ticks(shares, gpus) * per_tick + shares.energy_uj * float(rates.usd_per_j),
        shares.idle_ticks * (gpus * per_tick) + shares.idle_uj * float(rates.usd_per_j),
        shares.lost_ticks * (gpus * per_tick) + shares.lost_uj * float(rates.usd_per_j),
    ])  # fmt: skip
    total = total_micro_usd(shares, gpus, rates)
    parts = largest_remainder(ideal, total)
    return RequestCosts(parts[:count], parts[count : count + workers], parts[count + workers :], total)


def _gpu_ticks(shares: Allocation, gpus: NDArray[np.integer]) -> NDArray[np.float64]:
    """GPU time of requests: each part of their worker time times the GPUs of that worker."""
    early = np.where(shares.prefill_worker >= 0, gpus[shares.prefill_worker], 0) * shares.prefill_ticks.astype(
        np.float64
    )
    late = shares.ticks - shares.prefill_ticks
    found: NDArray[np.float64] = early + np.where(shares.worker >= 0, gpus[shares.worker], 0) * late
    return found


def total_micro_usd(shares: Allocation, gpus: NDArray[np.integer], rates: Rates) -> int:
    """The cost of all GPU time and all joules of the workers, in exact decimals, rounded once."""
    ticks = [0] * len(gpus)
    for w, rows in enumerate(zip(shares.idle_ticks, shares.lost_ticks, strict=True)):
        ticks[w] = sum(int(x) for x in rows)
    for worker, share in (
        (shares.prefill_worker, shares.prefill_ticks),
        (shares.worker, shares.ticks - shares.prefill_ticks),
    ):
        for w, part in enumerate(sums_by(worker, share, len(gpus))):
            ticks[w] += int(part)
    gpu_ticks = sum(int(g) * t for g, t in zip(gpus, ticks, strict=True))
    joules_u = sum(int(part.sum()) for part in (shares.energy_uj, shares.idle_uj, shares.lost_uj))
    usd = rates.usd_per_gpu_s * gpu_ticks / TICKS_PER_S + rates.usd_per_j * joules_u / MICRO
    return int((usd * MICRO).to_integral_value(ROUND_HALF_EVEN))
