"""The facts that a run rests on, with their sources."""

from __future__ import annotations

import numpy as np

from tokenworks import catalog
from tokenworks.events.results import Assumption
from tokenworks.rehearsal.plant import Plant


def assumptions(made: Plant) -> tuple[Assumption, ...]:
    """The facts that a run rests on, with their sources."""
    wanted: list[tuple[str, str, tuple[str, ...]]] = []
    for system in made.factory.systems:
        wanted.append(("systems", system.system, ("gpus", "system_max_w", "price_usd", "cooling")))
        chip = str(catalog.load("systems", system.system)["accelerator"])
        wanted.append(("accelerators", chip, ("memory_usable_gb", "memory_bandwidth_gb_s", "tdp_w", "idle_w")))
        if system.rent and system.rent.usd_gpu_h is None:
            wanted.append(("prices", chip, ("usd_gpu_h",)))
    for model in dict.fromkeys(s.model for s in made.factory.services):
        wanted.append(("models", model, ("params_b", "active_params_b", "layers")))
    wanted.append(
        (
            "tariffs",
            made.factory.site.region,
            ("energy_usd_kwh", "demand_charge_usd_kw_month", "carbon_g_kwh"),
        )
    )
    found = []
    for kind, name, keys in wanted:
        entry = catalog.load(kind, name)
        for key in keys:
            fact = entry.fact(key)
            value = (
                f"{np.mean(fact.value):.4g} (mean of {len(fact.value)})"
                if isinstance(fact.value, list)
                else f"{fact.value}"
            )
            found.append(Assumption(f"{name}: {key}", f"{value} {fact.unit}", fact.source, fact.date, fact.status))
    return tuple(found)
