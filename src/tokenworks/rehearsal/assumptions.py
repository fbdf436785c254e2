"""The facts of the catalogue that a run rests on, with their sources; what the factory file states is not among them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks import catalog
from tokenworks.catalog.facts import Fact
from tokenworks.events.results import Assumption
from tokenworks.physics.precision import peak_key, tensor_path
from tokenworks.rehearsal.plant import Plant
from tokenworks.spec.factory import System

SYSTEM = ("gpus", "system_max_w", "host_idle_w", "host_active_w", "nic_w", "switch_w", "fan_share", "psu_efficiency")
CHIP = ("memory_usable_gb", "memory_bandwidth_gb_s", "tdp_w", "idle_w", "boost_clock_ghz", "scale_up_gb_s", "pcie_gb_s")
MODEL = ("params_b", "active_params_b", "layers", "attention", "kv_heads", "experts", "experts_per_token")
ENGINE = ("default_max_seqs", "default_token_budget", "memory_fraction", "kv_fraction_of_free", "memory_reserve_gb")
CLOCKS = ("clock_share", "voltage_share", "static_floor")
SITE = ("pue_reference_c", "pue_per_c", "pue_idle_excess", "staff_share", "peak_interval_s", "demand_interval_s")

Wanted = tuple[str, str, tuple[str, ...]]  # kind, entry, facts


def assumptions(made: Plant) -> tuple[Assumption, ...]:
    """One per fact, in the order of the chain: hardware, models, engines, site, tariff."""
    found = []
    for kind, name, keys in dict.fromkeys(_wanted(made)):
        facts = catalog.load(kind, name).facts
        found += [_said(name, key, facts[key]) for key in keys if key in facts]
    return tuple(found)


def _wanted(made: Plant) -> Iterator[Wanted]:
    for system in made.factory.systems:
        yield from _of_system(system)
    for replicas in made.replicas:
        d = replicas.deployment
        chip = catalog.load("accelerators", d.accelerator)
        yield "accelerators", d.accelerator, (peak_key(tensor_path(chip, d.weights)),)
        yield "models", d.model, MODEL
        yield "precisions", d.weights, ("weight_bits",)
        yield "engines", d.engine, ENGINE
        if any(group.deployment.clock < 1 for group in replicas.groups):
            yield "clocks", "default", CLOCKS
    yield from _of_site(made)


def _of_system(system: System) -> Iterator[Wanted]:
    entry = catalog.load("systems", system.system)
    chip = str(entry["accelerator"])
    owned = system.own is None or system.own.price_usd is None
    yield "systems", system.system, (*SYSTEM, *(("price_usd",) if owned and not system.rent else ()))
    yield "accelerators", chip, CHIP
    if system.rent and system.rent.usd_gpu_h is None:
        yield "prices", chip, ("usd_gpu_h",)


def _of_site(made: Plant) -> Iterator[Wanted]:
    site = made.factory.site
    path = () if site.path else ("path_efficiency",)
    yield "sites", "default", (f"pue_{site.cooling}", *path, *SITE, f"wue_l_kwh_{site.cooling}")
    stated = {
        "energy_usd_kwh": site.energy_price_usd_kwh,
        "demand_charge_usd_kw_month": site.demand_charge_usd_kw_month,
        "temperature_c": site.temperature_c,
    }
    rest = ("carbon_g_kwh", "water_l_kwh", "colocation_usd_kw_month")
    yield "tariffs", site.region, (*(key for key, value in stated.items() if value is None), *rest)


def _said(name: str, key: str, fact: Fact) -> Assumption:
    numbers = isinstance(fact.value, list) and all(isinstance(v, int | float) for v in fact.value)
    value = f"{np.mean(fact.value):.4g} (mean of {len(fact.value)})" if numbers else f"{fact.value}"
    unit = "" if fact.unit in ("value", "name", "flag") else f" {fact.unit}"
    return Assumption(f"{name}: {key}", f"{value}{unit}", fact.source, fact.date, fact.status)
