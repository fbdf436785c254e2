"""One metric over requests or tokens: mean, spread, percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class Statistic:
    """In the unit of the samples; percentiles interpolate linearly between samples. NaN without any."""

    count: int
    mean: float
    std: float
    least: float
    most: float
    percentiles: tuple[float, ...]  # as in `PERCENTILES`

    def p(self, share: int) -> float:
        """One of `PERCENTILES`.

        >>> statistic([1.0, 2.0, 4.0]).p(50)
        2.0
        """
        return self.percentiles[PERCENTILES.index(share)]


def statistic(samples: Sequence[float] | np.typing.NDArray[np.float64]) -> Statistic:
    """NaN among the samples does not count."""
    values = np.asarray(samples, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        nan = float("nan")
        return Statistic(0, nan, nan, nan, nan, (nan,) * len(PERCENTILES))
    shares = tuple(float(v) for v in np.percentile(values, PERCENTILES))
    return Statistic(
        len(values), float(values.mean()), float(values.std()), float(values.min()), float(values.max()), shares
    )
