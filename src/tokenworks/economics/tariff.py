"""Electricity: energy by the hour, demand charge, carbon by the hour, water."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.spec.factory import Site

Floats = NDArray[np.float64]
MONTH_S = 2_629_800.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Tariff:
    """Prices of a region; ``energy_usd_kwh`` and ``carbon_g_kwh`` hold 24 hourly values."""

    energy_usd_kwh: tuple[float, ...]
    demand_charge_usd_kw_month: float
    carbon_g_kwh: tuple[float, ...]
    colocation_usd_kw_month: float
    grid_water_l_kwh: float

    def energy_usd(self, watts: Floats, bucket_s: float) -> float:
        """Cost of a power series that starts at midnight; runs shorter than a day are charged the day's mean
        price, so that the answer does not depend on the hour at which a rehearsal happens to start."""
        return self._integral(watts, bucket_s, self.energy_usd_kwh)

    def carbon_kg(self, watts: Floats, bucket_s: float) -> float:
        return self._integral(watts, bucket_s, self.carbon_g_kwh) / 1000

    def _integral(self, watts: Floats, bucket_s: float, hourly: tuple[float, ...]) -> float:
        kwh = watts * bucket_s / JOULES_PER_KWH
        if len(watts) * bucket_s < 24 * 3600 * 0.999:
            return float(kwh.sum() * np.mean(hourly))
        hours = (np.arange(len(watts)) * bucket_s // 3600).astype(int) % 24
        return float((kwh * np.array(hourly)[hours]).sum())

    def demand_usd(self, peak_w: float, horizon_s: float) -> float:
        """The month's demand charge, its share for the horizon."""
        return peak_w / 1e3 * self.demand_charge_usd_kw_month * horizon_s / MONTH_S


def tariff_of(site: Site) -> Tariff:
    entry = catalog.load("tariffs", site.region)
    flat = site.energy_price_usd_kwh
    demand = site.demand_charge_usd_kw_month
    return Tariff(
        tuple(entry["energy_usd_kwh"]) if flat is None else (flat,) * 24,
        float(entry["demand_charge_usd_kw_month"]) if demand is None else demand,
        tuple(entry["carbon_g_kwh"]),
        float(entry["colocation_usd_kw_month"]),
        float(entry["water_l_kwh"]),
    )
