"""How many of a newer system each entry of a factory becomes, on each basis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenworks import catalog
from tokenworks.economics.facts import system_facts, tariff_facts
from tokenworks.errors import InputError
from tokenworks.plan.upgrade.swap import paid
from tokenworks.spec.factory import Factory, System

GPUS, POWER, DOLLARS, DEMAND = "gpus", "power", "dollars", "demand"
BASES = (GPUS, POWER, DOLLARS, DEMAND)
HOUR_S = 3600.0


def counts(factory: Factory, new: str, basis: str) -> tuple[int, ...]:
    """Systems by entry of the factory; for GPUs as many as come nearest. Raises InputError where one alone takes more power
    or dollars than there is today."""
    if basis == GPUS:
        return reference(factory, new)
    return tuple(_count(factory, system, new, basis) for system in factory.systems)


def reference(factory: Factory, new: str) -> tuple[int, ...]:
    """As many as come nearest to the GPUs, one at least."""
    gpus = int(catalog.load("systems", new)["gpus"])
    return tuple(max(1, round(_gpus(system) / gpus)) for system in factory.systems)


def needed(demand: Sequence[float], sustained: Sequence[float], share: Sequence[float]) -> float:
    """How many times the hardware a demand needs, so that the tightest service keeps its share of use.

    >>> needed((10.0, 4.0), (20.0, 2.0), (0.5, 0.8))
    2.5
    """
    return max(d / (s * u) for d, s, u in zip(demand, sustained, share, strict=True))


def _gpus(system: System) -> int:
    return system.count * int(catalog.load("systems", system.system)["gpus"])


def _count(factory: Factory, system: System, new: str, basis: str) -> int:
    old, entry = catalog.load("systems", system.system), catalog.load("systems", new)
    if basis == POWER:
        have_w, unit_w = float(old["system_max_w"]) * system.count, float(entry["system_max_w"])
        return _whole(have_w / unit_w, f"one draws {unit_w / 1e3:,.3g} kW; {system.id} has {have_w / 1e3:,.3g} kW")
    have_usd, unit_usd = hourly_usd(factory, system), hourly_usd(factory, paid(system, new, 1))
    return _whole(have_usd / unit_usd, f"one costs ${unit_usd:,.2f} an hour; {system.id} costs ${have_usd:,.2f}")


def _whole(exact: float, otherwise: str) -> int:
    count = math.floor(exact + 1e-9)
    if count < 1:
        raise InputError(otherwise)
    return count


def hourly_usd(factory: Factory, system: System) -> float:
    """What an entry costs per hour, electricity apart: depreciation, maintenance, space and staff, or rent."""
    return sum(system_facts(system, tariff_facts(factory.site)).costs_usd(HOUR_S).values())
