"""PUE that the factory file states: a number, or a table by load and outside temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PueSurface:
    """PUE at points; linear between them, constant beyond. ``values`` has a row per temperature.

    >>> PueSurface((0.5, 1.0), (10.0, 30.0), ((1.3, 1.1), (1.5, 1.3))).at(np.array([0.25, 0.75, 1.0]), 20.0).tolist()
    [1.4, 1.3, 1.2]
    """

    load: tuple[float, ...]  # IT watts over the provisioned ones
    temperature_c: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, load: Floats, temperature_c: float) -> Floats:
        table = np.array(self.values)
        row = [np.interp(temperature_c, self.temperature_c, column) for column in table.T]
        return np.asarray(np.interp(load, self.load, row))
