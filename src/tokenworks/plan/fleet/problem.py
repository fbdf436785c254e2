"""A fleet over time as numbers: what may be bought or rented when, what it serves, draws and costs.

Time is cut into equal periods. All amounts of a period are for the whole period; dollars are those of the day, discounted
by the programme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Kind:
    """A kind of system on terms of payment. Arrays are by period, shape (T,)."""

    name: str
    owned: bool  # else rented: space and energy are in the rent, and its power is not the site's
    gpus: int
    price_usd: Array  # of one system bought at the start of a period; rented: 0
    keep_usd: Array  # of one system and period: maintenance, staff, space; rented: the rent
    idle_w: float  # one system at the meter with idle boards; rented: 0
    first: int  # first period in which it can stand here (release and delivery); T: never
    life: int  # periods until it must go; rented: the term of a contract
    value_share: (
        Array  # (life + 1,) of its price, or of a new one's if less, that it fetches by age in periods; rented: 0
    )
    have: tuple[tuple[int, int], ...] = ()  # (age in periods, count) of systems that are there at the start


@dataclass(frozen=True)
class Offer:
    """One way to run a service on a kind of system."""

    kind: int
    service: int
    name: str  # of the configuration
    rate_s: float  # requests per second of one unit (a worker, or a prefill and decode group) within its objectives
    share: float  # of one system that a unit takes
    extra_w: float  # watts at the meter that a unit draws above idle boards at its planned rate; rented: 0


@dataclass(frozen=True)
class Problem:
    """Demand to be met in every period, with what there is to meet it."""

    kinds: tuple[Kind, ...]
    offers: tuple[Offer, ...]
    services: tuple[str, ...]
    demand_s: Array  # (services, T) requests per second
    period_s: float
    usd_per_j: Array  # (T,) at the meter
    discount: Array  # (T + 1,) value today of a dollar at the start of each period, and at the end
    power_w: Array  # (T,) at the meter; inf: no limit
    capex_usd: Array  # (T,) most that may be spent on systems in a period; inf: no limit
    move_usd: float  # of one unit that is stopped: drained, reloaded elsewhere, checked

    @property
    def periods(self) -> int:
        return int(self.demand_s.shape[1])


@dataclass(frozen=True)
class Schedule:
    """What to do in each period. Shapes: K kinds, O offers, T periods."""

    bought: Ints  # (K, T) systems bought, or contracts begun, at the start of a period
    sold: Ints  # (K, T) owned systems that leave at the start of a period (T: at the end they are valued, not sold)
    there: Ints  # (K, T) systems in a period
    units: Ints  # (O, T) running
    usd: dict[str, Array]  # (T,) dollars of the day by cause; "resale" is negative
    power_w: Array  # (T,) at the meter
    value_usd: float  # of what is owned at the end, in its dollars
    npv_usd: float  # all of it, discounted: what was minimised
    bound_usd: float  # no schedule costs less
    seconds: float

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.bound_usd / self.npv_usd) if self.npv_usd > 0 else 0.0
