"""Facts of the economics of one factory, from its file and the catalogue. The rest of the room is pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks import catalog
from tokenworks.economics.capital import SystemFacts
from tokenworks.economics.path import LossShape, PathStage, oversize
from tokenworks.economics.power import HostFacts, SiteFacts
from tokenworks.economics.pue import PueSurface
from tokenworks.economics.tariff import HOUR_S, Tariff
from tokenworks.spec.factory import Factory, Network, Own, Site, System


@dataclass(frozen=True)
class Facts:
    """Everything that `books` needs to know besides the run."""

    systems: tuple[SystemFacts, ...]
    hosts: HostFacts
    site: SiteFacts
    tariff: Tariff
    budgets: tuple[tuple[float, float], ...]  # (seconds from the start of the run, watts from then on; 0: none)
    budget_scope: str  # board, it or facility
    typical_percentile: float  # what the power is planned for
    peak_interval_s: float = 0.0  # a peak is the highest mean over this long; 0: over one bucket
    boards_w: float = 0.0  # power limits of all GPU boards

    @property
    def budget_w(self) -> float:
        """The lowest budget; 0: there is never one."""
        return min((watts for _, watts in self.budgets if watts), default=0.0)


def facts_of(factory: Factory) -> Facts:
    """All facts of a factory; a missing one is a CatalogError that names it."""
    tariff = replace(tariff_facts(factory.site), start_s=factory.run.start_s)
    systems = tuple(system_facts(s, tariff) for s in factory.systems)
    design = sum(s.nameplate_w for s in systems)
    power = factory.site.power
    return Facts(
        systems,
        host_facts([(s.system, s.count) for s in factory.systems], sum(s.network_w for s in systems)),
        site_facts(factory.site, design, _cooling(factory, [s.nameplate_w for s in systems])),
        tariff,
        factory.site.budgets(factory.run.start_s or 0.0, factory.run.horizon_s),
        power.scope,
        factory.site.oversubscription_percentile,
        float(catalog.load("sites", "default")["peak_interval_s"]),
        sum(_board_w(s.system) * gpus.gpus for s, gpus in zip(factory.systems, systems, strict=True)),
    )


def _board_w(system: str) -> float:
    return float(catalog.load("accelerators", catalog.load("systems", system)["accelerator"])["tdp_w"])


def _cooling(factory: Factory, nameplates_w: list[float]) -> dict[str, float]:
    """Share of the provisioned power by what cools it."""
    found: dict[str, float] = {}
    for system, watts in zip(factory.systems, nameplates_w, strict=True):
        hall = factory.site.hall_of(system.hall)
        kind = factory.site.cooling if hall is None else hall.cooling
        found[kind] = found.get(kind, 0.0) + watts / sum(nameplates_w)
    return found


def system_facts(system: System, tariff: Tariff) -> SystemFacts:
    """One entry of the factory file; owned unless it says rent."""
    entry = catalog.load("systems", system.system)
    joined = system.network or Network()  # type: ignore[call-arg]
    network_w = joined.watts * system.count
    gpus, watts = int(entry["gpus"]) * system.count, float(entry["system_max_w"]) * system.count + network_w
    if system.rent:
        stated = system.rent.usd_gpu_h
        hourly = float(catalog.load("prices", entry["accelerator"])["usd_gpu_h"]) if stated is None else stated
        return SystemFacts(
            system.id, False, gpus, watts, 0.0, 0.0, 1.0, 0.0, 0.0, hourly / HOUR_S, 0.0, network_w=network_w
        )
    own = system.own or Own()  # type: ignore[call-arg]
    space = system.colocation_usd_kw_month
    return SystemFacts(
        id=system.id,
        owned=True,
        gpus=gpus,
        nameplate_w=watts,
        price_usd=(float(entry["price_usd"]) if own.price_usd is None else own.price_usd) * system.count,
        residual_share=own.residual_share,
        life_s=own.depreciation_s,
        maintenance_share_year=own.maintenance_share_year,
        staff_share=float(catalog.load("sites", "default")["staff_share"]),
        rent_usd_gpu_s=0.0,
        colocation_usd_kw_month=tariff.colocation_usd_kw_month if space is None else space,
        network_usd=joined.price_usd * system.count,
        network_w=network_w,
    )


def host_facts(systems: list[tuple[str, int]], network_w: float = 0.0) -> HostFacts:
    """Hosts of (catalogue id, count) pairs, summed; shares weighted by the systems' maximum power. ``network_w``: of what
    joins them."""
    entries = [(catalog.load("systems", name), count) for name, count in systems]
    weight = np.array([entry["system_max_w"] * count for entry, count in entries], float)

    def mean(key: str) -> float:
        return float(np.average([entry[key] for entry, _ in entries], weights=weight))

    def total(key: str) -> float:
        return float(sum(entry[key] * count for entry, count in entries))

    return HostFacts(
        idle_w=total("host_idle_w"),
        active_w=total("host_active_w"),
        nic_w=total("nic_w"),
        switch_w=total("switch_w"),
        fan_share=mean("fan_share"),
        supply_efficiency=mean("psu_efficiency"),
        network_w=network_w,
    )


def site_facts(site: Site, design_w: float, cooling: dict[str, float] | None = None) -> SiteFacts:
    """A site from the factory file, the rest from the catalogue's typical one and the region. Halls cooled in
    different ways (``cooling``: shares of the power) count as their mean."""
    typical, region = catalog.load("sites", "default"), catalog.load("tariffs", site.region)
    shares = cooling or {site.cooling: 1.0}
    pue = PueSurface(site.pue.load, site.pue.temperature_c, site.pue.values) if site.pue else None
    typical_path = float(typical["path_efficiency"])
    stages: tuple[PathStage, ...] = (PathStage("typical path", typical_path, 1.0),)
    losses = LossShape(0.0, 0.0)  # the typical efficiency is stated at its usual load and redundancy
    if site.path:
        modules = int(typical["n_plus_1_modules"])
        stages = tuple(PathStage(s.name, s.efficiency, oversize(s.redundancy, modules)) for s in site.path)
        losses = LossShape(float(typical["no_load_loss_share"]), float(typical["square_loss_share"]))
    return SiteFacts(
        design_w=design_w,
        stages=stages,
        losses=losses,
        overhead_full=_mean(typical, "pue", shares) - 1 / typical_path,
        overhead_per_c=float(typical["pue_per_c"]),
        reference_c=float(typical["pue_reference_c"]),
        temperature_c=float(region["temperature_c"] if site.temperature_c is None else site.temperature_c),
        idle_excess=float(typical["pue_idle_excess"]),
        stated_pue=pue,
        water_l_kwh=_mean(typical, "wue_l_kwh", shares),
    )


def _mean(typical: catalog.Entry, key: str, shares: dict[str, float]) -> float:
    return sum(share * float(typical[f"{key}_{kind}"]) for kind, share in shares.items())


def tariff_facts(site: Site) -> Tariff:
    """Prices of the site's region, with what the factory file states in their place."""
    entry = catalog.load("tariffs", site.region)
    stated, carbon, demand = site.energy_price_usd_kwh, site.carbon_g_kwh, site.demand_charge_usd_kw_month
    return Tariff(
        tuple(entry["energy_usd_kwh"]) if stated is None else stated,
        float(entry["demand_charge_usd_kw_month"]) if demand is None else demand,
        float(catalog.load("sites", "default")["demand_interval_s"]),
        tuple(entry["carbon_g_kwh"]) if carbon is None else carbon,
        float(entry["colocation_usd_kw_month"]),
        float(entry["water_l_kwh"]),
    )
