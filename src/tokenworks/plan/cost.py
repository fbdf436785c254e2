"""What fleets cost and draw, for arrays of fleets: the functions of the economics room that account a run, at a constant
load.

A run's books are linear in the number of equal systems: depreciation, maintenance, staff, rent and space by system;
hosts, fans, path and cooling by the watts of one system. So one system's facts price any number of them. What joins the
systems (`plan.network`) is not linear in them: to space, path and cooling its watts are so much of a further system.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.economics.capital import SystemFacts
from tokenworks.economics.facts import host_facts, site_facts, system_facts, tariff_facts
from tokenworks.economics.power import HostFacts, SiteFacts
from tokenworks.economics.tariff import Tariff
from tokenworks.plan.ask import Array
from tokenworks.plan.demand import Demand
from tokenworks.plan.network import joined
from tokenworks.plan.systems import Kind
from tokenworks.spec.factory import Network, System
from tokenworks.spec.site import Site

HARDWARE = ("depreciation", "maintenance", "staff")  # causes that follow the price


@dataclass(frozen=True)
class Prices:
    """Everything that the fleet of one kind is priced with."""

    kind: Kind
    facts: SystemFacts  # of one system, at its full price
    hosts: HostFacts  # of one
    site: SiteFacts  # as if one system were the site
    tariff: Tariff
    idle_w: float  # of one board
    network_factor: float = 1.0  # on the price of the network, where that of hardware has one
    scale_out: bool = True  # counted; bounds leave it out, as two services may share it

    @property
    def usd_per_j(self) -> float:
        """Dollars per joule at the meter: the day's mean price of energy."""
        return self.tariff.energy_usd(np.array([1.0]), 1.0)

    @property
    def usd_per_w_s(self) -> float:
        """Dollars per watt of billed peak and second: the demand charge."""
        return self.tariff.demand_usd(1.0, 1.0)

    @property
    def g_per_j(self) -> float:
        """Grams of CO2 per joule at the meter."""
        return self.tariff.carbon_kg(np.array([1.0]), 1.0) * 1e3


def prices(demand: Demand, kind: Kind, site: Site | None = None) -> Prices:
    """Of one kind at the demand's site (or another)."""
    at = site or demand.planned_site
    tariff = tariff_facts(at)
    entry = kind.entry
    hall = at.hall_of(kind.hall)
    cooling: dict[str, float] = {at.cooling if hall is None else hall.cooling: 1.0}
    one = system_facts(system_entry(demand, replace(kind, have=0), 1, kind.system), tariff)
    return Prices(
        kind,
        one,
        host_facts([(kind.system, 1)]),
        site_facts(at, one.nameplate_w, cooling),
        tariff,
        float(catalog.load("accelerators", entry["accelerator"])["idle_w"]),
    )


def system_entry(demand: Demand, kind: Kind, count: int, name: str, between: Between | None = None) -> System:
    """The systems as a factory file has them. Of owned ones the new ones are paid for, at the mean over all."""
    use = demand.may_use
    common: dict[str, Any] = {"id": name, "system": kind.system, "count": count, "hall": kind.hall}
    common["network"] = None if between is None else _each(between, count)
    if kind.pay == "rent":
        return System.model_construct(**common, own=None, rent=use.rent, colocation_usd_kw_month=None)
    own = use.own
    if kind.have:
        price = float(kind.entry["price_usd"]) if own.price_usd is None else own.price_usd
        own = own.model_copy(update={"price_usd": price * max(0, count - kind.have) / count})
    return System.model_construct(**common, own=own, rent=None, colocation_usd_kw_month=None)


def _each(between: Between, count: int) -> Network:
    """Of one system."""
    usd, watts = float(between.bought_usd[0]), float(between.watts[0])
    return Network.model_construct(price_usd=usd / count, watts=watts / count)


@dataclass(frozen=True)
class Between:
    """Networks of fleets of one kind: dollars of what is bought, and watts; both (n,)."""

    bought_usd: Array
    watts: Array


def between(of: Prices, systems: Array, crossed: NDArray[np.bool_]) -> Between:
    """What joins so many systems; ``crossed``: with a scale-out network (`plan.network.crosses`). Systems that are there
    have theirs, of the same kind; that of rented ones is in the rent."""
    counted = crossed & of.scale_out
    whole = joined(of.kind.system, systems, counted)
    new_usd = whole.usd
    if of.kind.have:
        new_usd = new_usd - joined(of.kind.system, np.minimum(systems, of.kind.have), counted).usd
    return Between(new_usd * (of.facts.owned * of.network_factor), whole.watts)


@dataclass(frozen=True)
class Fleet:
    """Columns of fleets of one kind; all shapes (n,)."""

    systems: Array
    gpus: Array
    board_w: Array
    it_w: Array
    facility_w: Array
    capex_usd: Array  # the network in it
    network_usd: Array  # of capex
    network_w: Array  # of it_w
    hardware_usd_s: Array  # depreciation, maintenance, staff
    network_usd_s: Array  # the same of the network
    rent_usd_s: Array
    space_usd_s: Array
    energy_usd_s: Array
    demand_usd_s: Array
    carbon_g_s: Array

    @property
    def usd_s(self) -> Array:
        """All causes."""
        fixed = self.hardware_usd_s + self.network_usd_s + self.rent_usd_s + self.space_usd_s
        return fixed + self.energy_usd_s + self.demand_usd_s

    def __add__(self, other: Fleet) -> Fleet:
        return Fleet(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def fleet(of: Prices, systems: Array, board_w: Array, activity: Array, joins: Between | None = None) -> Fleet:
    """Columns for numbers of systems whose boards draw ``board_w`` in all; ``activity``: share of GPU time busy;
    ``joins``: the network between them, none: not counted."""
    count = np.asarray(systems, float)
    none = np.zeros(len(count))
    net_usd, net_w = (none, none) if joins is None else (joins.bought_usd, joins.watts)
    it = count * of.hosts.it_w(board_w / np.maximum(count, 1.0), activity) + net_w
    provisioned = count + net_w / of.facts.nameplate_w
    facility = provisioned * of.site.facility_w(np.maximum(it / np.maximum(provisioned, 1.0), 1e-9))
    new = np.maximum(0.0, count - of.kind.have)
    causes, owned = of.facts.costs_usd(1.0), float(of.facts.owned)
    hardware = sum(causes.get(cause, 0.0) for cause in HARDWARE)
    return Fleet(
        systems=count,
        gpus=count * of.kind.gpus,
        board_w=np.asarray(board_w, float),
        it_w=it,
        facility_w=facility,
        capex_usd=new * of.facts.price_usd * owned + net_usd,
        network_usd=net_usd,
        network_w=net_w,
        hardware_usd_s=new * hardware,
        network_usd_s=net_usd * sum(of.facts.kept_usd(1.0, 1.0).values()) if owned else none,
        rent_usd_s=count * causes.get("rent", 0.0),
        space_usd_s=provisioned * causes.get("space and cooling plant", 0.0),
        energy_usd_s=owned * facility * of.usd_per_j,
        demand_usd_s=owned * facility * of.usd_per_w_s,
        carbon_g_s=facility * of.g_per_j,
    )


def changed(of: Prices, energy: float = 1.0, hardware: float = 1.0) -> Prices:
    """The same with the price of electricity and of hardware (or rent) multiplied."""
    tariff = replace(
        of.tariff,
        energy_usd_kwh=tuple(v * energy for v in of.tariff.energy_usd_kwh),
        demand_charge_usd_kw_month=of.tariff.demand_charge_usd_kw_month * energy,
    )
    facts = replace(
        of.facts, price_usd=of.facts.price_usd * hardware, rent_usd_gpu_s=of.facts.rent_usd_gpu_s * hardware
    )
    return replace(of, tariff=tariff, facts=facts, network_factor=of.network_factor * hardware)
