"""Constraints of a plan as columns: what each configuration needs of each limit, and which of them it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Table
from tokenworks.plan.demand import Demand, Limits
from tokenworks.plan.sample import Asked

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tails:
    """95th percentiles over the means that the wide pass gives; learnt from rehearsals."""

    ttft: float = 1.0
    tpot: float = 1.0


@dataclass(frozen=True)
class Need:
    """One limit: its name, what it is measured in, the limit, and what configurations need of it, (n,)."""

    name: str
    unit: str  # s, W, $, $/h, GPUs, systems, g/Mtok, share
    limit: float
    needs: Array
    field: str  # where it stands in the demand file

    @property
    def kept(self) -> Mask:
        return np.asarray(self.needs <= self.limit * (1 + 1e-9))


def service_needs(asked: Asked, table: Table, tails: Tails, place: str = "") -> list[Need]:
    """Latency objectives and memory of one service."""
    ask, at = asked.ask, place or f"services.{asked.service.name}.slo"
    found = [Need(f"{asked.service.name}: KV cache", "share", 1.0, table.kv_share, "")]
    pairs = (
        ("TTFT p95", ask.ttft_s, table.ttft_s * tails.ttft, "ttft_p95"),
        ("TPOT p95", ask.tpot_s, table.tpot_s * tails.tpot, "tpot_p95"),
        ("E2E p95", ask.e2e_s, table.ttft_s * tails.ttft + (table.e2e_s - table.ttft_s), "e2e_p95"),
    )
    for name, limit, needs, key in pairs:
        if limit is not None:
            found.append(Need(f"{asked.service.name}: {name}", "s", limit, needs, f"{at}.{key}"))
    return found


def shared_needs(demand: Demand, columns: dict[str, Array]) -> list[Need]:
    """Limits of the whole: power, GPUs, systems, dollars, carbon. ``columns``: see `market.columns`."""
    limits: Limits = demand.limits
    power = demand.planned_site.power
    budget_w = lowest_budget_w(demand)
    place = "limits.power" if limits.power else "site.power"
    pairs = (
        (f"power ({power.scope})", "W", budget_w or None, f"{power.scope}_w", f"{place}.budget"),
        ("GPUs", "GPUs", limits.gpus, "gpus", "limits.gpus"),
        ("systems", "systems", limits.systems, "systems", "limits.systems"),
        ("capex", "$", limits.capex_usd, "capex_usd", "limits.capex"),
        ("dollars an hour", "$/h", limits.usd_h, "usd_h", "limits.usd_per_hour"),
        ("carbon", "g/Mtok", limits.carbon_g_mtok, "carbon", "limits.co2"),
    )
    return [Need(name, unit, float(limit), columns[key], field) for name, unit, limit, key, field in pairs if limit]


def lowest_budget_w(demand: Demand) -> float:
    """The lowest power budget of the site, curtailments among them; 0: none."""
    site = demand.planned_site
    found = [site.power.budget_w, *(c.budget_w for c in site.curtailment)]
    return min((w for w in found if w), default=0.0)


def all_kept(needs: list[Need], count: int) -> Mask:
    """(n,) whether every limit is kept."""
    kept = np.ones(count, bool)
    for need in needs:
        kept &= need.kept
    return kept
