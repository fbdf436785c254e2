"""The books of one run: energy from the board to the meter, dollars by cause and by service, $/Mtok, carbon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.economics.capital import hardware_cost
from tokenworks.economics.power import host_facts, provisioned_w, site_facts
from tokenworks.economics.tariff import JOULES_PER_KWH, MONTH_S, tariff_of
from tokenworks.events.results import Energy, Money, Share
from tokenworks.spec.factory import Factory

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ServiceUse:
    """What one service used and made over the horizon."""

    name: str
    gpus: int
    busy_share: float  # of its GPU time
    prefill_share: float  # of its busy time
    input_tokens: float  # of finished requests, cached ones included
    cached_tokens: float
    output_tokens: float
    prefill_j: float  # dynamic
    decode_j: float
    static_j: float


@dataclass(frozen=True)
class PhysicalRun:
    """A run without money: what economics needs of it."""

    horizon_s: float
    bucket_s: float
    board_w: Floats  # (services, buckets)
    activity: Floats  # (buckets,) share of GPU time busy
    spare_board_w: float  # GPUs that no service uses, idle
    services: tuple[ServiceUse, ...]
    gpus: int


@dataclass(frozen=True)
class Books:
    """Everything that `account` finds."""

    money: Money
    energy: Energy
    it_w: Floats
    facility_w: Floats
    carbon_kg: float
    water_l: float
    peak_w: dict[str, float]  # by scope
    mean_w: dict[str, float]
    stranded_w: float


def account(run: PhysicalRun, factory: Factory) -> Books:
    """Energy, money, carbon and water of a run under the factory's site, systems and tariff."""
    systems = [(s.system, s.count) for s in factory.systems]
    hosts, site, tariff = host_facts(systems), site_facts(factory.site), tariff_of(factory.site)
    board = run.board_w.sum(axis=0) + run.spare_board_w
    it = hosts.it_w(board, run.activity)
    facility = it * site.pue(it / provisioned_w(systems))
    series = {"board": board, "it": it, "facility": facility}
    energy = _energy(run, board, it, facility, hosts.rest_w(run.activity), site.path_efficiency)
    parts = _cost_parts(run, factory, facility, tariff, float(it.max()))
    peak = {scope: float(w.max()) for scope, w in series.items()}
    power = factory.site.power
    typical = float(np.percentile(series[power.scope], factory.site.oversubscription_percentile))
    kwh = energy.it_j / JOULES_PER_KWH
    return Books(
        money=_money(run, parts),
        energy=energy,
        it_w=it,
        facility_w=facility,
        carbon_kg=tariff.carbon_kg(facility, run.bucket_s),
        water_l=kwh * site.water_l_kwh + energy.facility_j / JOULES_PER_KWH * tariff.grid_water_l_kwh,
        peak_w=peak,
        mean_w={scope: float(w.mean()) for scope, w in series.items()},
        stranded_w=max(0.0, power.budget_w - typical) if power.budget_w else 0.0,
    )


def _energy(run: PhysicalRun, board: Floats, it: Floats, facility: Floats, rest: Floats, path: float) -> Energy:
    """Joules of each part; children sum to their parent."""
    dt = run.bucket_s
    board_j, it_j, facility_j = (float(w.sum() * dt) for w in (board, it, facility))
    rest_j = float(rest.sum() * dt)
    prefill, decode = (sum(getattr(s, key) for s in run.services) for key in ("prefill_j", "decode_j"))
    losses = it_j * (1 / path - 1)
    return Energy(
        board_j,
        it_j,
        facility_j,
        (
            Share("electrical losses", losses, "facility"),
            Share("cooling and building", facility_j - it_j - losses, "facility"),
            Share("IT", it_j, "facility"),
            Share("fans and power supplies", it_j - board_j - rest_j, "IT"),
            Share("hosts, NICs, switches", rest_j, "IT"),
            Share("GPU boards", board_j, "IT"),
            Share("prefill", prefill, "GPU boards"),
            Share("decode", decode, "GPU boards"),
            Share("static and idle", board_j - prefill - decode, "GPU boards"),
        ),
    )


def _cost_parts(
    run: PhysicalRun, factory: Factory, facility: Floats, tariff: object, it_peak: float
) -> tuple[Share, ...]:
    from tokenworks.economics.tariff import Tariff

    assert isinstance(tariff, Tariff)
    hardware = [hardware_cost(s) for s in factory.systems]
    staff = float(catalog.load("sites", "default")["staff_share"])
    seconds = run.horizon_s
    owned = sum(h.depreciation_usd_s + h.maintenance_usd_s for h in hardware) > 0
    space = 0.0
    for system in factory.systems:
        if system.rent:
            continue
        price = system.colocation_usd_kw_month
        watts = provisioned_w([(system.system, system.count)])
        space += watts / 1e3 * (tariff.colocation_usd_kw_month if price is None else price) / MONTH_S
    depreciation = sum(h.depreciation_usd_s for h in hardware) * seconds
    parts = (
        Share("depreciation", depreciation),
        Share("maintenance", sum(h.maintenance_usd_s for h in hardware) * seconds),
        Share("rent", sum(h.rent_usd_s for h in hardware) * seconds),
        Share("space and cooling plant", space * seconds),
        Share("energy", tariff.energy_usd(facility, run.bucket_s) if owned else 0.0),
        Share("demand charge", tariff.demand_usd(float(facility.max()), seconds) if owned else 0.0),
        Share("staff", depreciation * staff),
    )
    return tuple(part for part in parts if part.value > 0)


def _money(run: PhysicalRun, parts: tuple[Share, ...]) -> Money:
    """Allocation by GPU time: each service pays for its GPUs, split into prefill and decode by busy time; what
    the output tokens of a service cost is its decode share, what its uncached input costs its prefill share."""
    total = sum(part.value for part in parts)
    assigned = sum(s.gpus for s in run.services) or 1
    by_service = tuple(total * s.gpus / assigned for s in run.services)
    output = sum(s.output_tokens for s in run.services)
    inputs = sum(s.input_tokens for s in run.services)
    cached = sum(s.cached_tokens for s in run.services)
    fill = sum(usd * s.prefill_share for usd, s in zip(by_service, run.services, strict=True))
    computed = inputs - cached
    return Money(
        total_usd=total,
        parts=parts,
        usd_per_mtok_output=_per_million(total, output),
        usd_per_mtok_blended=_per_million(total, output + inputs),
        usd_per_mtok_input=_per_million(fill, computed),
        usd_per_mtok_cached=0.0,
        tokens_per_usd=output / total if total else 0.0,
        by_service_usd=by_service,
    )


def _per_million(usd: float, tokens: float) -> float:
    return usd / tokens * 1e6 if tokens else float("inf")
