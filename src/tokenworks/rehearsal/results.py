"""What a run came to: results by service, the timeline, the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.account import Books, PhysicalRun, ServiceUse
from tokenworks.events.results import Interval, RunResult, ServiceResult, Timeline
from tokenworks.physics.fleet import site_note
from tokenworks.rehearsal.assumptions import assumptions
from tokenworks.rehearsal.bands import evidence_of
from tokenworks.rehearsal.plant import Plant, blocks_of, workers_of
from tokenworks.rehearsal.use import board_parts_w
from tokenworks.twin.cell import TwinResult
from tokenworks.twin.statistics import latency, shifted


def _service_result(made: Plant, twin: TwinResult, service: int, use: ServiceUse, sustainable: float) -> ServiceResult:
    stats, ids, line = twin.services[service], workers_of(made, service), twin.timeline
    assert line is not None
    w, plan, blocks = twin.workers, made.replicas[service], blocks_of(made, service)
    waiting = line.waiting[service].astype(float)
    slo = plan.service.slo
    return ServiceResult(
        name=use.name,
        gpus=use.gpus,
        workers=plan.count,
        arrived=stats.arrived,
        finished=stats.finished,
        rejected_queue_full=stats.rejected_queue_full,
        rejected_too_long=stats.rejected_too_long,
        timed_out=stats.timed_out,
        in_system=stats.in_system,
        within_slo=stats.within_slo,
        input_tokens=stats.input_tokens,
        cached_tokens=stats.cached_tokens,
        output_tokens=stats.output_tokens,
        preemptions=stats.preemptions,
        ttft=shifted(latency(stats.ttft_counts, stats.ttft_sum, stats.ttft_max), made.ingress_s[service]),
        tpot=latency(stats.tpot_counts, stats.tpot_sum, stats.tpot_max),
        e2e=shifted(latency(stats.e2e_counts, stats.e2e_sum, stats.e2e_max), made.ingress_s[service]),
        busy_share=use.busy_share,
        mean_batch=float(w.batch_steps[ids].sum() / max(1, w.steps[ids].sum())),
        kv_use=float(line.blocks[service].mean() / blocks),
        mean_waiting=float(waiting.mean()),
        dynamic_j=use.prefill_j + use.decode_j,
        static_j=use.static_j,
        saturated=_saturated(waiting, plan.count, stats.arrived, sustainable, made.factory.run.horizon_s),
        sustainable_requests_s=sustainable,
        slo_ttft_s=slo.ttft_p95_s or 0.0,
        slo_tpot_s=slo.tpot_p95_s or 0.0,
        bottleneck=_bottleneck(made, service, use),
    )


def _saturated(waiting: NDArray[np.float64], workers: int, arrived: int, sustainable: float, horizon_s: float) -> bool:
    """Offered more than sustainable, or a long queue that grows through the last two thirds of the run."""
    late = waiting[len(waiting) // 3 :]
    slope = float(np.polyfit(np.arange(len(late)), late, 1)[0]) if len(late) > 1 else 0.0
    grows = late.mean() > 2 * workers and slope * len(late) > 0.4 * late.mean()
    return bool(arrived / horizon_s > sustainable or grows)


def _bottleneck(made: Plant, service: int, use: ServiceUse) -> str:
    """What a decode step at the mean context is bound by, or prefill where that takes more time."""
    if use.prefill_share > 0.5:
        return "prefill, compute"
    table = made.model_of(service).levels[0]
    lines = ("HBM bandwidth", "host", "power limit")
    n = min(64, table.decode.shape[1] - 1)
    return f"decode, {lines[int(np.argmax(table.decode[:, n]))]}"


def run_result(
    made: Plant,
    twin: TwinResult,
    physical: PhysicalRun,
    books: Books,
    sustainable: list[float],
    notes: list[str],
) -> RunResult:
    factory, horizon = made.factory, made.factory.run.horizon_s
    services = tuple(_service_result(made, twin, i, use, sustainable[i]) for i, use in enumerate(physical.services))
    output = sum(s.output_tokens for s in services)
    tpot = np.average([s.tpot.mean_s for s in services], weights=[max(1, s.tpot.count) for s in services])
    power = factory.site.power
    known = evidence_of(factory, made.replicas)
    return RunResult(
        factory=factory.name,
        title=", ".join(f"{r.service.model} on {r.gpus} x {r.deployment.accelerator}" for r in made.replicas),
        horizon_s=horizon,
        seed=factory.run.seed,
        gpus=made.gpus,
        services=services,
        timeline=_timeline(made, twin, physical, books),
        energy=books.energy,
        money=books.money,
        power_budget_w=books.held.budget_w,
        power_budgets=factory.site.budgets(factory.run.start_s or 0.0, horizon),
        power_scope=power.scope,
        peak_power_w=books.held.peak_w,
        mean_power_w=books.mean_w[power.scope],
        utilisation=sum(u.busy_share * u.gpus for u in physical.services) / made.gpus,
        output_tokens_s=_point(output / horizon),
        tokens_s_user=known.band("tpot", 1.0 / float(tpot) if tpot else 0.0, inverse=True),
        tokens_per_j=known.band("energy", output / books.energy.board_j, inverse=True),
        usd_per_mtok=_point(books.money.usd_per_mtok_output),
        tokens_per_j_it=output / books.energy.it_j,
        tokens_per_j_facility=output / books.energy.facility_j,
        carbon_kg=books.carbon_kg,
        water_l=books.water_l,
        stranded_w=books.stranded_w,
        overloaded=any(s.saturated for s in services),
        interrupted=False,
        trace_note="; ".join(notes),
        assumptions=assumptions(made),
        accuracy_note=" ".join(filter(None, [known.sentence(), site_note(made.factory, made.replicas)])),
        nameplate_w=books.provision.nameplate_w,
        planned_w=books.provision.drawn_w,
        planned_percentile=books.provision.percentile,
    )


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _timeline(made: Plant, twin: TwinResult, physical: PhysicalRun, books: Books) -> Timeline:
    line = twin.timeline
    assert line is not None
    dt = physical.bucket_s
    blocks = np.array([blocks_of(made, service) for service in range(len(made.replicas))])
    return Timeline(
        time_s=np.arange(line.arrived.shape[-1], dtype=np.float64) * dt,
        bucket_s=dt,
        arrived_s=line.arrived / dt,
        output_tokens_s=line.output_tokens / dt,
        waiting=line.waiting.astype(float),
        running=line.running.astype(float),
        kv_use=line.blocks / blocks[:, None],
        board_w=physical.board_w,
        it_w=books.it_w,
        facility_w=books.facility_w,
        board_parts_w=board_parts_w(twin, physical),
    )
