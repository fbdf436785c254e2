"""Carbon of single events: their energy times what the grid emits in the hour of the day in which they ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.tariff import JOULES_PER_KWH
from tokenworks.errors import InputError

US_PER_HOUR = 3_600_000_000
HOURS = 24


def carbon_ug(
    time_us: NDArray[np.int64], energy_uj: NDArray[Any], carbon_g_kwh: Sequence[float], pue: float, offset_h: float
) -> NDArray[np.float64]:
    """Micrograms of CO₂ of each event, shape (n,). ``time_us``: since 1970 UTC; ``energy_uj``: at the IT meter;
    ``carbon_g_kwh``: 24 values by local hour, which is ``offset_h`` ahead of UTC; ``pue``: facility over IT energy.

    >>> int(carbon_ug(np.array([0]), np.array([3_600_000_000_000]), [500.0] * 24, 1.2, 0.0)[0])
    600000000
    """
    if len(carbon_g_kwh) != HOURS:
        raise InputError(f"carbon by the hour takes {HOURS} values, not {len(carbon_g_kwh)}")
    local = time_us + round(offset_h * US_PER_HOUR)
    hour = (local // US_PER_HOUR) % HOURS
    # µJ → kWh is 1e-6 / 3.6e6, g → µg is 1e6
    return np.asarray(energy_uj / JOULES_PER_KWH * pue * np.asarray(carbon_g_kwh, float)[hour])
