"""A made-up run with plausible figures, for tests of the reports and for looking at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.economics.account import Books, PhysicalRun, ServiceUse, books
from tokenworks.economics.capital import YEAR_S, SystemFacts
from tokenworks.economics.facts import Facts
from tokenworks.economics.path import LossShape, PathStage
from tokenworks.economics.power import HostFacts, SiteFacts
from tokenworks.economics.tariff import Tariff
from tokenworks.events.results import (
    Assumption,
    Interval,
    Latency,
    RunResult,
    ServiceResult,
    Timeline,
    WhatIf,
)

BUCKETS, HORIZON_S = 240, 3600.0
RACK = SystemFacts("rack", True, 72, 125_000.0, 3.4e6, 0.1, 4 * YEAR_S, 0.03, 0.03, 0.0, 150.0)
FACTS = Facts(
    (RACK,),
    HostFacts(3600.0, 7200.0, 2600.0, 9000.0, 0.03, 0.97),
    SiteFacts(
        125_000.0, (PathStage("path", 0.955, 1.0),), LossShape(0.0, 0.0), 0.103, 0.004, 15.0, 18.0, 0.12, None, 0.3
    ),
    Tariff((0.057,) * 24, 9.0, 900.0, (411.0,) * 24, 150.0, 1.1),
    ((0.0, 200_000.0),),
    "facility",
    99.0,
)
USES = (
    ServiceUse("reasoner", 48, 0.71, 0.42, 660e6, 92e6, 139e6, 22e6, 38e6, 61e6, "rack", 0.02),
    ServiceUse("helper", 24, 0.55, 0.33, 410e6, 0.0, 96e6, 9e6, 12e6, 24e6, "rack"),
)


def latency(median_s: float, spread: float, count: int) -> Latency:
    """A log-normal latency, exact quantiles of its own histogram's shape."""
    edges = np.geomspace(median_s / 40, median_s * 40, 161)
    middle = np.sqrt(edges[1:] * edges[:-1])
    weight = np.exp(-0.5 * (np.log(middle / median_s) / spread) ** 2)
    counts = np.floor(weight / weight.sum() * count).astype(np.int64)
    at = {q: float(median_s * np.exp(spread * z)) for q, z in ((90, 1.2816), (95, 1.6449), (99, 2.3263))}
    mean = float(median_s * np.exp(spread**2 / 2))
    return Latency(count, mean, median_s, at[90], at[95], at[99], float(edges[-1]), edges, counts)


def waves(level: float, seed: int) -> np.ndarray:
    """A daily hump with noise, never negative."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, BUCKETS)
    return np.maximum(0.0, level * (0.8 + 0.35 * np.sin(2 * np.pi * x - 1) + 0.08 * rng.standard_normal(BUCKETS)))


def service(use: ServiceUse, arrived: int, ttft_s: float, tpot_s: float) -> ServiceResult:
    return ServiceResult(
        name=use.name,
        gpus=use.gpus,
        workers=use.gpus // 8,
        arrived=arrived,
        finished=arrived - 310,
        rejected_queue_full=12,
        rejected_too_long=3,
        timed_out=41,
        in_system=254,
        within_slo=arrived - 4700,
        input_tokens=int(use.input_tokens),
        cached_tokens=int(use.cached_tokens),
        output_tokens=int(use.output_tokens),
        preemptions=87,
        ttft=latency(ttft_s, 0.8, arrived),
        tpot=latency(tpot_s, 0.12, arrived),
        e2e=latency(tpot_s * 250, 0.7, arrived),
        busy_share=use.busy_share,
        mean_batch=61.0,
        kv_use=0.43,
        mean_waiting=3.7,
        dynamic_j=use.prefill_j + use.decode_j,
        static_j=use.static_j,
        saturated=False,
        sustainable_requests_s=arrived / HORIZON_S / 0.69,
        slo_ttft_s=2.0,
        slo_tpot_s=0.025 if use.name == "helper" else 0.04,
        bottleneck="decode, HBM bandwidth",
    )


def timeline(found: Books, board: np.ndarray) -> Timeline:
    step = HORIZON_S / BUCKETS
    return Timeline(
        time_s=np.arange(BUCKETS) * step,
        bucket_s=step,
        arrived_s=np.stack([waves(155, 1), waves(96, 2)]),
        output_tokens_s=np.stack([waves(38_600, 3), waves(26_700, 4)]),
        waiting=np.stack([waves(3.7, 5), waves(2.1, 6)]),
        running=np.stack([waves(360, 7), waves(140, 8)]),
        kv_use=np.clip(np.stack([waves(0.43, 9), waves(0.28, 10)]), 0, 1),
        board_w=board,
        it_w=found.it_w,
        facility_w=found.facility_w,
        board_parts_w=board.sum(axis=0) * np.array([[0.2], [0.3], [0.4], [0.1]]),
    )


def sample() -> RunResult:
    """One rack, two services, an hour."""
    board = np.stack([waves(34_000, 11), waves(13_000, 12)]) + 3000.0
    activity = np.clip(waves(0.65, 13), 0, 1)
    run = PhysicalRun(HORIZON_S, HORIZON_S / BUCKETS, board, activity, 0.0, USES, 72)
    found = books(run, FACTS)
    output = sum(u.output_tokens for u in USES)
    rate, price = output / HORIZON_S, found.money.usd_per_mtok_output
    return RunResult(
        factory="tulsa-1",
        title="deepseek-r1 on 48 x gb200, gpt-oss-120b on 24 x gb200",
        horizon_s=HORIZON_S,
        seed=7,
        gpus=72,
        services=(service(USES[0], 558_000, 0.21, 0.0262), service(USES[1], 346_000, 0.09, 0.0181)),
        timeline=timeline(found, board),
        energy=found.energy,
        money=found.money,
        power_budget_w=200_000.0,
        power_budgets=((0.0, 200_000.0),),
        power_scope="facility",
        peak_power_w=found.peak_w["facility"],
        mean_power_w=found.mean_w["facility"],
        utilisation=sum(u.busy_share * u.gpus for u in USES) / 72,
        output_tokens_s=Interval(rate, rate * 0.87, rate * 1.12),
        tokens_s_user=Interval(41.2, 35.0, 47.9),
        tokens_per_j=Interval(output / found.energy.board_j, 0.9, 1.9),
        usd_per_mtok=Interval(price, price * 0.89, price * 1.15),
        tokens_per_j_it=output / found.energy.it_j,
        tokens_per_j_facility=output / found.energy.facility_j,
        carbon_kg=found.carbon_kg,
        water_l=found.water_l,
        stranded_w=found.stranded_w,
        overloaded=False,
        interrupted=False,
        trace_note="reasoner: azure-2023-conversation at 155 req/s, 69% of the sustainable 225.",
        assumptions=(
            Assumption("gb200-nvl72: price_usd", "3400000 USD", "price-survey-2026", "2024-11", "claim"),
            Assumption("gb200: memory_bandwidth_gb_s", "8000 GB/s", "nvidia-gb200-datasheet", "2024-11", "published"),
            Assumption("us-central: energy_usd_kwh", "0.057 USD", "electricity-survey", "2026-01", "claim"),
        ),
        what_ifs=(
            WhatIf("+1 decode worker", (("TPOT p95", -0.18), ("$/Mtok", 0.04))),
            WhatIf("fp8 KV cache", (("output tokens/s", 0.02), ("TTFT p95", -0.3))),
        ),
        files=("out/tulsa-1/report.html", "out/tulsa-1/result.json"),
        nameplate_w=found.provision.nameplate_w,
        planned_w=found.provision.drawn_w,
        planned_percentile=found.provision.percentile,
        accuracy_note="In 8 of 10 published measurements like this the truth lay within −14% to +17% of the TPOT.",
    )


def overloaded() -> RunResult:
    """The same with a service that is offered more than it sustains."""
    result = sample()
    late = replace(result.services[0], saturated=True, sustainable_requests_s=120.0)
    return replace(result, overloaded=True, services=(late, result.services[1]))
