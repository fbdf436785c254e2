"""Electricity: energy by the hour of the day, demand charge, carbon by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.power import rolling_means

Floats = NDArray[np.float64]
HOUR_S = 3600.0
DAY_S = 86_400.0
MONTH_S = 2_629_800.0  # a twelfth of a Julian year
JOULES_PER_KWH = 3.6e6


def day_integral(hourly: Sequence[float], until_s: Floats) -> Floats:
    """∫ of 24 hourly values from midnight to a time, in value × seconds; exact, the day repeats.

    >>> day_integral([1.0] * 12 + [3.0] * 12, np.array([0.0, 43_200.0, 86_400.0, 90_000.0])).tolist()
    [0.0, 43200.0, 172800.0, 176400.0]
    """
    edges = np.arange(25) * HOUR_S
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(hourly, float)) * HOUR_S])
    days, rest = np.divmod(until_s, DAY_S)
    return np.asarray(days * sums[-1] + np.interp(rest, edges, sums))


def bucket_means(hourly: Sequence[float], buckets: int, bucket_s: float, start_s: float = 0.0) -> Floats:
    """Mean of a daily curve over each bucket of a series that starts ``start_s`` after midnight."""
    edges = np.asarray(start_s + np.arange(buckets + 1) * bucket_s, np.float64)
    total = day_integral(hourly, edges)
    return np.asarray(np.diff(total) / bucket_s)


@dataclass(frozen=True)
class Tariff:
    """Prices of a region; ``energy_usd_kwh`` and ``carbon_g_kwh`` hold 24 hourly values."""

    energy_usd_kwh: tuple[float, ...]
    demand_charge_usd_kw_month: float
    demand_interval_s: float  # the peak is the highest mean over such an interval
    carbon_g_kwh: tuple[float, ...]
    colocation_usd_kw_month: float
    grid_water_l_kwh: float
    start_s: float | None = None  # seconds after midnight at which a series begins; none: see energy_usd

    def energy_usd(self, watts: Floats, bucket_s: float) -> float:
        """Cost of a power series. Without a stated start it begins at midnight, and runs shorter than a day are
        charged the day's mean price, so that the answer does not depend on the hour at which they happen to start."""
        return _by_hour(watts, bucket_s, self.energy_usd_kwh, self.start_s)

    def carbon_kg(self, watts: Floats, bucket_s: float) -> float:
        """Emissions of a power series, by the hour like the energy price."""
        return _by_hour(watts, bucket_s, self.carbon_g_kwh, self.start_s) / 1000

    def demand_w(self, watts: Floats, bucket_s: float) -> float:
        """The billed peak: highest mean over an interval of the meter; the whole series where that is shorter."""
        return float(rolling_means(watts, bucket_s, self.demand_interval_s).max())

    def demand_usd(self, peak_w: float, horizon_s: float) -> float:
        """The month's demand charge, the horizon's share of it."""
        return peak_w / 1e3 * self.demand_charge_usd_kw_month * horizon_s / MONTH_S


def _by_hour(watts: Floats, bucket_s: float, hourly: Sequence[float], start_s: float | None) -> float:
    kwh = watts * bucket_s / JOULES_PER_KWH
    if start_s is None and len(watts) * bucket_s < DAY_S * (1 - 1e-9):
        return float(kwh.sum() * np.mean(hourly))
    return float(kwh @ bucket_means(hourly, len(watts), bucket_s, start_s or 0.0))
