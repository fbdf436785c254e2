"""From board watts to the meter: hosts and fabric, fans, power supplies, electrical path, cooling.

IT = (boards + hosts + NICs + switches) · (1 + fan share) / supply efficiency + network between systems;
facility = IT + losses of the path + cooling and building. PUE is facility over IT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.path import LossShape, PathStage, path_input_w
from tokenworks.economics.pue import PueSurface

Floats = NDArray[np.float64]


def rolling_means(watts: Floats, bucket_s: float, interval_s: float) -> Floats:
    """Means over every interval of this length (whole buckets, at least one); over all where the series is shorter.

    >>> rolling_means(np.array([0.0, 30.0, 30.0, 0.0]), 5.0, 10.0).tolist()
    [15.0, 30.0, 15.0]
    """
    per = max(1, min(len(watts), round(interval_s / bucket_s)))
    sums = np.concatenate([[0.0], np.cumsum(watts)])
    return np.asarray((sums[per:] - sums[:-per]) / per)


@dataclass(frozen=True)
class HostFacts:
    """Everything in the servers that is not a GPU board, for all systems of the factory together, in watts."""

    idle_w: float
    active_w: float
    nic_w: float
    switch_w: float
    fan_share: float
    supply_efficiency: float
    network_w: float = 0.0  # switches and optics between systems, at their own inlets, whatever the load

    def rest_w(self, activity: Floats) -> Floats:
        """Hosts, NICs and switches inside systems at a share of activity (0…1)."""
        return np.asarray(self.idle_w + (self.active_w - self.idle_w) * activity + self.nic_w + self.switch_w)

    def it_w(self, board_w: Floats, activity: Floats) -> Floats:
        """Watts at the inlets of the servers and of the network."""
        servers = (board_w + self.rest_w(activity)) * (1 + self.fan_share) / self.supply_efficiency
        return np.asarray(servers + self.network_w)


@dataclass(frozen=True)
class SiteFacts:
    """How the building turns IT watts into watts at the meter."""

    design_w: float  # IT watts that path and cooling are built for
    stages: tuple[PathStage, ...]
    losses: LossShape
    overhead_full: float  # cooling and building per IT watt at full load and the reference temperature
    overhead_per_c: float
    reference_c: float
    temperature_c: float
    idle_excess: float  # added towards no load: pumps, fans and lights that do not slow down
    stated_pue: PueSurface | None  # of the factory file, path losses included
    water_l_kwh: float  # per IT kWh

    def path_w(self, it_w: Floats) -> Floats:
        """Losses between the meter and the racks."""
        return np.asarray(path_input_w(self.stages, self.losses, it_w, self.design_w) - it_w)

    def cooling_w(self, it_w: Floats) -> Floats:
        """Cooling and building; never negative, however cold it is outside."""
        load = np.clip(it_w / self.design_w, 0, 1)
        if self.stated_pue is not None:
            stated = self.stated_pue.at(load, self.temperature_c)
            return np.maximum(0.0, it_w * (stated - 1) - self.path_w(it_w))
        warm = self.overhead_per_c * (self.temperature_c - self.reference_c)
        return np.asarray(it_w * np.maximum(0.0, self.overhead_full + warm + self.idle_excess * (1 - load)))

    def facility_w(self, it_w: Floats) -> Floats:
        """Watts at the meter."""
        return np.asarray(it_w + self.path_w(it_w) + self.cooling_w(it_w))

    def pue(self, it_w: Floats) -> Floats:
        """Facility over IT watts."""
        return np.asarray(self.facility_w(it_w) / it_w)
