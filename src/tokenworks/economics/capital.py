"""What hardware costs per second: bought and written off, or rented."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks import catalog
from tokenworks.spec.factory import Own, System

YEAR_S = 31_557_600.0
HOUR_S = 3600.0


def straight_line_usd_s(price_usd: float, residual_share: float, life_s: float) -> float:
    """Depreciation per second, straight line to the residual value.

    >>> round(straight_line_usd_s(4e6, 0.1, 4 * YEAR_S) * YEAR_S)
    900000
    """
    return price_usd * (1 - residual_share) / life_s


def annuity(price_usd: float, rate_year: float, years: float) -> float:
    """Level payment per year that repays a price with interest: P·r / (1 − (1 + r)^−n).

    >>> round(annuity(1000, 0.10, 3), 2)
    402.11
    >>> annuity(900, 0.0, 3)
    300.0
    """
    if rate_year == 0:
        return price_usd / years
    return float(price_usd * rate_year / (1 - (1 + rate_year) ** -years))


@dataclass(frozen=True)
class HardwareCost:
    """Dollars per second of one group of systems."""

    system: str
    depreciation_usd_s: float
    maintenance_usd_s: float
    rent_usd_s: float

    @property
    def usd_s(self) -> float:
        return self.depreciation_usd_s + self.maintenance_usd_s + self.rent_usd_s


def hardware_cost(system: System) -> HardwareCost:
    """Cost of all systems of one entry of the factory file; owned unless it says rent."""
    entry = catalog.load("systems", system.system)
    if system.rent:
        price = system.rent.usd_gpu_h
        hourly = float(catalog.load("prices", entry["accelerator"])["usd_gpu_h"]) if price is None else price
        return HardwareCost(system.id, 0.0, 0.0, hourly * entry["gpus"] * system.count / HOUR_S)
    own = system.own or Own()  # type: ignore[call-arg]
    price_usd = (float(entry["price_usd"]) if own.price_usd is None else own.price_usd) * system.count
    lost = straight_line_usd_s(price_usd, own.residual_share, own.depreciation_s)
    return HardwareCost(system.id, lost, price_usd * own.maintenance_share_year / YEAR_S, 0.0)
