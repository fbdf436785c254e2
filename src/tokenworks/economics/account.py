"""The books of one run: energy from the board to the meter, dollars by cause and by service, $/Mtok, carbon, water."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.allocation import UNUSED, GpuTime, allocate
from tokenworks.economics.budget import Held, tightest
from tokenworks.economics.facts import Facts, facts_of
from tokenworks.economics.power import rolling_means
from tokenworks.economics.provision import Provision
from tokenworks.economics.tariff import JOULES_PER_KWH
from tokenworks.events.results import Energy, Money, Share
from tokenworks.spec.factory import Factory

Floats = NDArray[np.float64]
CAUSES = (
    "depreciation", "maintenance", "network", "rent", "space and cooling plant", "energy", "demand charge", "staff",
)  # fmt: skip


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
    static_j: float  # idle draw included
    system: str = ""  # id in the factory file; none: the first
    reload_share: float = 0.0  # of its busy time: cached blocks brought back from a slower tier
    prompt_share: float = 0.0  # of its busy time: reading computed prompts while their answers are made
    cached_share: float = 0.0  # of its busy time: reading cached prompts
    idle_j: float = 0.0  # of static_j: while nothing was stepped


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
    peak_w: dict[str, float]  # by scope, highest mean over the peak interval
    mean_w: dict[str, float]
    held: Held  # the budget that binds most, in its scope
    stranded_w: float  # of that budget, above the percentile that the power is planned for
    provision: Provision  # provisioned against drawn power, in the scope of the budget
    nameplate_w: float = 0.0  # IT watts provisioned
    billed_peak_w: float = 0.0  # what the demand charge is for
    pue: float = 1.0  # energy-weighted mean


def account(run: PhysicalRun, factory: Factory) -> Books:
    """Energy, money, carbon and water of a run under the factory's site, systems and tariff."""
    return books(run, facts_of(factory))


def books(run: PhysicalRun, facts: Facts) -> Books:
    """The same from plain facts."""
    board = run.board_w.sum(axis=0) + run.spare_board_w
    it = facts.hosts.it_w(board, run.activity)
    facility = facts.site.facility_w(it)
    series = {"board": board, "it": it, "facility": facility}
    energy = _energy(run, facts, board, it, facility)
    billed = facts.tariff.demand_w(facility, run.bucket_s)
    # the twin books the energy of a step where it ends: in short buckets that looks like a spike
    calm = {scope: rolling_means(w, run.bucket_s, facts.peak_interval_s) for scope, w in series.items()}
    typical = float(np.percentile(calm[facts.budget_scope], facts.typical_percentile))
    drawn = series[facts.budget_scope]
    held = tightest(drawn, run.bucket_s, facts.peak_interval_s, facts.typical_percentile, facts.budgets)
    kwh_it, kwh = energy.it_j / JOULES_PER_KWH, energy.facility_j / JOULES_PER_KWH
    return Books(
        money=_money(run, facts, facility, billed),
        energy=energy,
        it_w=it,
        facility_w=facility,
        carbon_kg=facts.tariff.carbon_kg(facility, run.bucket_s),
        water_l=kwh_it * facts.site.water_l_kwh + kwh * facts.tariff.grid_water_l_kwh,
        peak_w={scope: float(w.max()) for scope, w in calm.items()},
        mean_w={scope: float(w.mean()) for scope, w in series.items()},
        held=held,
        stranded_w=max(0.0, held.budget_w - held.typical_w),
        nameplate_w=facts.site.design_w,
        billed_peak_w=billed,
        pue=energy.facility_j / energy.it_j,
        provision=_provision(facts, typical, float(calm[facts.budget_scope].max())),
    )


def _provision(facts: Facts, drawn_w: float, peak_w: float) -> Provision:
    it = np.array([facts.site.design_w])
    nameplate = {"board": facts.boards_w, "it": it[0], "facility": facts.site.facility_w(it)[0]}[facts.budget_scope]
    return Provision(float(nameplate), drawn_w, peak_w, facts.budget_w, facts.typical_percentile)


def _energy(run: PhysicalRun, facts: Facts, board: Floats, it: Floats, facility: Floats) -> Energy:
    """Joules of each part; children sum to their parent."""

    def joules(watts: Floats) -> float:
        return float(watts.sum() * run.bucket_s)

    board_j, it_j, facility_j = joules(board), joules(it), joules(facility)
    rest_j, losses_j = joules(facts.hosts.rest_w(run.activity)), joules(facts.site.path_w(it))
    prefill_j, decode_j = sum(s.prefill_j for s in run.services), sum(s.decode_j for s in run.services)
    idle_j = sum(s.idle_j for s in run.services) + run.spare_board_w * run.horizon_s
    network_j = facts.hosts.network_w * run.horizon_s
    between = (Share("network between systems", network_j, "IT"),) if network_j else ()
    parts = (
        Share("electrical losses", losses_j, "facility"),
        Share("cooling and building", facility_j - it_j - losses_j, "facility"),
        Share("IT", it_j, "facility"),
        Share("fans and power supplies", it_j - board_j - rest_j - network_j, "IT"),
        *between,
        Share("hosts, NICs, switches", rest_j, "IT"),
        Share("GPU boards", board_j, "IT"),
        Share("prefill", prefill_j, "GPU boards"),
        Share("decode", decode_j, "GPU boards"),
        Share("static while stepping", board_j - prefill_j - decode_j - idle_j, "GPU boards"),
        Share("idle", idle_j, "GPU boards"),
    )
    return Energy(board_j, it_j, facility_j, parts)


def _costs(run: PhysicalRun, facts: Facts, facility: Floats, billed_w: float) -> dict[str, dict[str, float]]:
    """Dollars by system and cause. Electricity goes to systems by nameplate; that of rented ones is in the rent."""
    energy = facts.tariff.energy_usd(facility, run.bucket_s)
    demand = facts.tariff.demand_usd(billed_w, run.horizon_s)
    found = {}
    for system in facts.systems:
        causes = system.costs_usd(run.horizon_s)
        if system.owned:
            part = system.nameplate_w / facts.site.design_w
            causes |= {"energy": energy * part, "demand charge": demand * part}
        found[system.id] = causes
    return found


def _money(run: PhysicalRun, facts: Facts, facility: Floats, billed_w: float) -> Money:
    """All cost over all output is the headline; the other prices are what the busy time of their purpose costs."""
    costs = _costs(run, facts, facility, billed_w)
    by_cause = {cause: math.fsum(c.get(cause, 0.0) for c in costs.values()) for cause in CAUSES}
    first = facts.systems[0].id
    uses = [
        GpuTime(
            s.name,
            s.system or first,
            s.gpus,
            s.busy_share,
            s.prefill_share,
            s.reload_share + s.cached_share,
            s.prompt_share,
        )
        for s in run.services
    ]
    system_usd = {name: math.fsum(c.values()) for name, c in costs.items()}
    rows = allocate(system_usd, {s.id: s.gpus for s in facts.systems}, uses)
    total = math.fsum(by_cause.values())
    paid = {p: math.fsum(r.value for r in rows if r.label == p) for p in {r.label for r in rows}}
    inputs, cached, output = (
        sum(getattr(s, key) for s in run.services) for key in ("input_tokens", "cached_tokens", "output_tokens")
    )
    return Money(
        total_usd=total,
        parts=tuple(Share(cause, usd) for cause, usd in by_cause.items() if usd > 0),
        usd_per_mtok_output=per_million(total, output),
        usd_per_mtok_blended=per_million(total, output + inputs),
        usd_per_mtok_input=per_million(paid["prefill"] + paid["prompt in memory"], inputs - cached),
        usd_per_mtok_cached=per_million(paid["cached input"], cached),
        tokens_per_usd=output / total if total else 0.0,
        by_service_usd=tuple(math.fsum(r.value for r in rows if r.parent == s.name) for s in run.services),
        allocation=rows,
        idle_usd=math.fsum(r.value for r in rows if r.label in ("idle", UNUSED)),
        usd_per_mtok_decode=per_million(paid["decode"], output),
    )


def per_million(usd: float, tokens: float) -> float:
    """Dollars per million tokens; infinite where something was paid and nothing made, 0 where neither."""
    if tokens:
        return usd / tokens * 1e6
    return math.inf if usd else 0.0
