"""From board watts to the meter: hosts and fabric, fans, power supplies, electrical path, cooling.

facility = IT · PUE; IT = (board + hosts + NICs + switches) · (1 + fan share) / supply efficiency.
PUE rises with the outside temperature and towards no load (fixed losses); values are catalogue facts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.spec.factory import Site

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HostFacts:
    """Everything in the servers that is not a GPU board, for all systems of the factory together, in watts."""

    idle_w: float
    active_w: float
    nic_w: float
    switch_w: float
    fan_share: float
    supply_efficiency: float

    def rest_w(self, activity: Floats) -> Floats:
        """Hosts, NICs and switches at a share of activity."""
        return np.asarray(self.idle_w + (self.active_w - self.idle_w) * activity + self.nic_w + self.switch_w)

    def it_w(self, board_w: Floats, activity: Floats) -> Floats:
        return np.asarray((board_w + self.rest_w(activity)) * (1 + self.fan_share) / self.supply_efficiency)


@dataclass(frozen=True)
class SiteFacts:
    """How the building turns IT watts into watts at the meter."""

    pue_full: float  # at full load and the reference temperature
    pue_per_c: float
    reference_c: float
    temperature_c: float
    idle_excess: float
    path_efficiency: float
    water_l_kwh: float

    def pue(self, load: Floats) -> Floats:
        """PUE at a share of the design load (0…1); never below the losses of the path alone."""
        warm = self.pue_per_c * (self.temperature_c - self.reference_c)
        value = self.pue_full + warm + self.idle_excess * (1 - np.clip(load, 0, 1))
        return np.maximum(value, 1 / self.path_efficiency)


def site_facts(site: Site) -> SiteFacts:
    """A site from the factory file, the rest from the catalogue's typical one and the region."""
    typical = catalog.load("sites", "default")
    region = catalog.load("tariffs", site.region)
    path = float(np.prod([s.efficiency for s in site.path])) if site.path else float(typical["path_efficiency"])
    stated = site.pue is not None
    return SiteFacts(
        pue_full=float(site.pue if site.pue is not None else typical[f"pue_{site.cooling}"]),
        pue_per_c=0.0 if stated else float(typical["pue_per_c"]),
        reference_c=float(typical["pue_reference_c"]),
        temperature_c=float(region["temperature_c"] if site.temperature_c is None else site.temperature_c),
        idle_excess=0.0 if stated else float(typical["pue_idle_excess"]),
        path_efficiency=path,
        water_l_kwh=float(typical[f"wue_l_kwh_{site.cooling}"]),
    )


def host_facts(systems: list[tuple[str, int]]) -> HostFacts:
    """Hosts of (catalogue id, count) pairs, summed; shares weighted by the systems' maximum power."""
    entries = [(catalog.load("systems", name), count) for name, count in systems]
    weight = np.array([e["system_max_w"] * n for e, n in entries], float)
    mean = lambda key: float(np.average([e[key] for e, _ in entries], weights=weight))  # noqa: E731
    add = lambda key: float(sum(e[key] * n for e, n in entries))  # noqa: E731
    return HostFacts(
        add("host_idle_w"),
        add("host_active_w"),
        add("nic_w"),
        add("switch_w"),
        mean("fan_share"),
        mean("psu_efficiency"),
    )


def provisioned_w(systems: list[tuple[str, int]]) -> float:
    """Nameplate IT watts."""
    return float(sum(catalog.load("systems", name)["system_max_w"] * count for name, count in systems))
