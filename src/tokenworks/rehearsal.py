"""Runs a factory on the virtual clock: factory file → worker models → requests → twin → books → RunResult."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.accuracy.certainty import band, sentence
from tokenworks.economics.account import Books, PhysicalRun, ServiceUse, account
from tokenworks.economics.facts import facts_of
from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.events.results import Assumption, Interval, RunResult, ServiceResult, Timeline
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import Replicas, fleet
from tokenworks.physics.terms import resolve
from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S, WorkerModel
from tokenworks.spec.factory import ROUTING, Factory, System, Workload
from tokenworks.twin.cell import Cell, PowerCap, RequestLog, ServicePlan, TwinOptions, TwinResult
from tokenworks.twin.simulate import simulate
from tokenworks.twin.statistics import latency, shifted
from tokenworks.workload.generate import base_rate_s, generate, merge

BUCKETS = 240  # of a timeline: enough for a chart, few enough for a file
FLOOD_REQUESTS = 600  # per sequence slot group: what saturates one replica
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plant:
    """A factory compiled: everything that does not depend on the requests."""

    factory: Factory
    replicas: tuple[Replicas, ...]
    models: tuple[WorkerModel, ...]
    cell: Cell
    ingress_s: tuple[float, ...]  # a request's way to the engine and its first token's way back, by service

    def model_of(self, service: int) -> WorkerModel:
        """The worker model that decodes."""
        return self.models[self.cell.workers[_workers(self, service)[-1]]]

    @property
    def gpus(self) -> int:
        return sum(int(catalog.load("systems", s.system)["gpus"]) * s.count for s in self.factory.systems)


def plant(factory: Factory) -> Plant:
    """Compile worker models and lay out the cell. Raises CapacityError or UnsupportedError."""
    replicas = fleet(factory)
    groups = [(r, group) for r in replicas for group in r.groups]
    budget = factory.site.power.budget_w
    models = tuple(
        compile_worker(group.deployment, name=f"{r.service.name} {group.role}", all_clocks=budget > 0)
        for r, group in groups
    )
    workers = tuple(i for i, (_, group) in enumerate(groups) for _ in range(group.count))
    ingress = tuple(resolve(r.deployment).ingress_s for r in replicas)
    plans, start = [], 0
    for r, way_s in zip(replicas, ingress, strict=True):
        plans.append(_plan(r, start, way_s))
        start += r.count
    caps = (PowerCap("site", tuple(range(len(workers))), board_budget_w(factory, replicas)),) if budget else ()
    return Plant(factory, replicas, models, Cell(models, workers, tuple(plans), caps, factory.run.seed), ingress)


def board_budget_w(factory: Factory, replicas: Sequence[Replicas]) -> float:
    """Watts that the boards in use may draw under the site's budget: what hosts, fans, supplies, losses and cooling
    take at full activity is taken off first, then what idle boards draw."""
    power, facts = factory.site.power, facts_of(factory)
    spare = sum(_idle_w(s.system) * _free_gpus(replicas, s) for s in factory.systems)
    top = sum(float(catalog.load("accelerators", r.deployment.accelerator)["tdp_w"]) * r.gpus for r in replicas)
    boards = np.linspace(0.0, top, 2001)
    drawn = boards + spare
    if power.scope != "board":
        drawn = facts.hosts.it_w(drawn, np.ones_like(drawn))
    if power.scope == "facility":
        drawn = facts.site.facility_w(drawn)
    if drawn[0] >= power.budget_w:
        raise InputError(
            f"the site's budget of {power.budget_w / 1e3:,.0f} kW ({power.scope}) does not feed the servers without "
            f"their GPUs ({drawn[0] / 1e3:,.0f} kW)"
        )
    return float(boards[drawn <= power.budget_w][-1])


def _plan(replicas: Replicas, start: int, ingress_s: float) -> ServicePlan:
    """The twin sees a request when the engine does: objectives at the caller are that much tighter there."""
    service, slo = replicas.service, replicas.service.slo
    inside = lambda objective: max(1e-9, objective - ingress_s) if objective else None  # noqa: E731
    pools: dict[str, tuple[int, ...]] = {}
    for group in replicas.groups:
        pools[group.role] = tuple(range(start, start + group.count))
        start += group.count
    return ServicePlan(
        service.name,
        workers=pools.get("serve", ()),
        prefill=pools.get("prefill", ()),
        decode=pools.get("decode", ()),
        policy=ROUTING.index(service.routing),
        kv_weight_256=round(service.kv_weight * 256),
        max_waiting=service.max_waiting,
        slo_ttft_ticks=_ticks(inside(slo.ttft_p95_s)),
        slo_tpot_ticks=_ticks(slo.tpot_p95_s),
        slo_e2e_ticks=_ticks(inside(slo.e2e_p95_s)),
    )


def _ticks(seconds: float | None) -> int:
    return round((seconds or 0.0) * TICKS_PER_S)


def sustainable_rate_s(made: Plant, service: int, load: Workload) -> float:
    """Requests per second that all replicas of a service sustain: it is flooded with requests of the workload, and
    the rate is taken between the first and last fifth of completions, free of fill and drain. Of equal aggregated
    replicas one stands for all."""
    cell, share = _flooded(made, service)
    count = max(FLOOD_REQUESTS, 3 * made.model_of(service).max_seqs) * len(cell.workers)
    base = base_rate_s(load) or 1.0
    flood = generate(load, 0, base, count / base * 1.2, made.factory.run.seed, 1000 + service)
    zero = np.zeros(len(flood), np.int64)
    log = simulate(cell, replace(flood, arrival=zero, think=zero), TwinOptions(record=True)).log
    assert log is not None
    done = np.sort(log.finish[log.first_token >= 0])
    if len(done) < 10:
        raise InputError(f"{made.replicas[service].service.name}: no request of its workload fits a replica")
    low, high = len(done) // 5, len(done) * 4 // 5
    return float((high - low) / (done[high] - done[low]) * TICKS_PER_S) * share


def _flooded(made: Plant, service: int) -> tuple[Cell, float]:
    """The cell to flood, and how many times its rate the service sustains."""
    plan = made.cell.services[service]
    if plan.workers:
        alone = replace(plan, workers=(0,), max_waiting=0)
        return Cell((made.model_of(service),), (0,), (alone,)), float(len(plan.workers))
    ids = [*plan.prefill, *plan.decode]
    place = {w: i for i, w in enumerate(ids)}
    prefill, decode = (tuple(place[w] for w in pool) for pool in (plan.prefill, plan.decode))
    whole = replace(plan, max_waiting=0, prefill=prefill, decode=decode)
    return Cell(made.models, tuple(made.cell.workers[w] for w in ids), (whole,)), 1.0


@dataclass(frozen=True)
class Rehearsal:
    """A run with its requests: ``log`` is None unless the factory file asks to record them."""

    result: RunResult
    requests: Requests
    log: RequestLog | None
    services: tuple[str, ...]


def run_factory(factory: Factory, progress: Progress = lambda _: None) -> RunResult:
    """Rehearse the factory over its horizon."""
    return rehearse(factory, progress).result


def rehearse(factory: Factory, progress: Progress = lambda _: None) -> Rehearsal:
    """Rehearse the factory over its horizon, keeping its requests."""
    progress("compiling worker models")
    made = plant(factory)
    progress("finding sustainable rates")
    sustainable, streams, notes = _streams(made)
    progress("running the twin")
    requests = merge(streams)
    twin = _simulate(made, requests, factory.run.horizon_s)
    progress("doing the books")
    physical = _physical(made, twin, factory.run.horizon_s)
    books = account(physical, factory)
    result = _result(made, twin, physical, books, sustainable, notes)
    idle = _price_of_idleness(made, progress)
    result = replace(result, trace_note="; ".join(filter(None, [result.trace_note, idle])))
    return Rehearsal(result, requests, twin.log, tuple(s.name for s in factory.services))


def _streams(made: Plant) -> tuple[list[float], list[Requests], list[str]]:
    factory = made.factory
    names = [s.name for s in factory.services]
    sustainable = [0.0] * len(names)
    streams, notes = [], []
    for i, load in enumerate(factory.workload):
        service = names.index(load.service)
        if not sustainable[service]:
            sustainable[service] = sustainable_rate_s(made, service, load)
        rate = _rate(load, sustainable[service])
        stream = generate(load, service, rate, factory.run.horizon_s, factory.run.seed, i)
        timeout = np.full(len(stream), _ticks(factory.services[service].timeout_s))
        streams.append(replace(stream, timeout=timeout))
        source = load.trace or (load.arrivals.kind if load.arrivals else "")
        share = rate / sustainable[service]
        notes.append(
            f"{load.service}: {source} at {_number(rate)} req/s, {share:.0%} of the sustainable {_number(sustainable[service])}"
        )
    return sustainable, streams, notes


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rate(load: Workload, sustainable: float) -> float:
    base = base_rate_s(load)
    if load.scale.kind == "sustainable":
        return load.scale.value * sustainable
    return load.scale.value if load.scale.kind == "rate" else load.scale.value * (base or 1.0)


def _simulate(made: Plant, requests: Requests, horizon_s: float) -> TwinResult:
    if len(requests) == 0:
        raise InputError("the workload sends no request within the horizon")
    clients = sum(w.arrivals.clients or 0 for w in made.factory.workload if w.arrivals)
    options = TwinOptions(
        horizon_ticks=_ticks(horizon_s),
        bucket_ticks=_ticks(horizon_s / BUCKETS),
        buckets=BUCKETS,
        warmup_ticks=_ticks(made.factory.run.warmup_s),
        clients=clients,
        record=made.factory.run.record_requests,
    )
    return simulate(made.cell, requests, options)


def _workers(made: Plant, service: int) -> list[int]:
    plan = made.cell.services[service]
    return [*plan.workers, *plan.prefill, *plan.decode]


def _physical(made: Plant, twin: TwinResult, horizon_s: float) -> PhysicalRun:
    line = twin.timeline
    assert line is not None
    bucket_s = horizon_s / BUCKETS
    uses = tuple(_use(made, twin, service, horizon_s) for service in range(len(made.replicas)))
    gpus = made.gpus
    served = sum(r.gpus for r in made.replicas)
    spare = sum(_idle_w(s.system) * _free_gpus(made.replicas, s) for s in made.factory.systems)
    busy = np.array([u.busy_share for u in uses])
    share = np.array([u.gpus for u in uses]) / max(1, gpus)
    tokens = line.output_tokens / np.maximum(1, line.output_tokens.mean(axis=1, keepdims=True))
    activity = np.clip(
        (np.clip(tokens, 0, 1 / np.maximum(busy[:, None], 1e-9)) * (busy * share)[:, None]).sum(axis=0), 0, 1
    )
    del served
    return PhysicalRun(horizon_s, bucket_s, line.joules / bucket_s, activity, spare, uses, gpus)


def _idle_w(system: str) -> float:
    return float(catalog.load("accelerators", catalog.load("systems", system)["accelerator"])["idle_w"])


def _blocks(made: Plant, service: int) -> int:
    """KV blocks of all workers of a service."""
    models = (made.models[made.cell.workers[w]] for w in _workers(made, service))
    return sum(m.kv_blocks * m.ranks for m in models)


def _free_gpus(replicas: Sequence[Replicas], system: System) -> int:
    """GPUs of a system that no service uses."""
    have = int(catalog.load("systems", system.system)["gpus"]) * system.count
    return have - sum(r.gpus for r in replicas if r.system.id == system.id)


def _use(made: Plant, twin: TwinResult, service: int, horizon_s: float) -> ServiceUse:
    w, stats, ids = twin.workers, twin.services[service], _workers(made, service)
    dynamic = float(w.dynamic_uj[ids].sum()) / MICROJOULES_PER_J
    fill, decode = float(w.prefill_tokens[ids].sum()), float(w.decode_tokens[ids].sum())
    share = _prefill_share(
        made.model_of(service), fill, decode, float(w.batch_steps[ids].sum()), float(w.decode_steps[ids].sum())
    )
    return ServiceUse(
        name=made.replicas[service].service.name,
        gpus=made.replicas[service].gpus,
        busy_share=float(w.busy_ticks[ids].mean()) / _ticks(horizon_s),
        prefill_share=share,
        input_tokens=stats.input_tokens,
        cached_tokens=stats.cached_tokens,
        output_tokens=stats.output_tokens,
        prefill_j=dynamic * share,
        decode_j=dynamic * (1 - share),
        static_j=float(w.static_uj[ids].sum()) / MICROJOULES_PER_J,
        system=made.replicas[service].system.id,
    )


def _prefill_share(model: WorkerModel, fill: float, decode: float, batch_steps: float, decode_steps: float) -> float:
    """Share of device work that is prefill: marginal cost of a prefill token against a decode token at the mean batch."""
    table = model.levels[0]
    last = table.mixed.shape[1] - 1
    per_fill = float(table.mixed[0, last] + table.shared_mixed[0, -1]) / last
    batch = int(np.clip(round(batch_steps / max(1.0, decode_steps)), 1, table.decode.shape[1] - 1))
    per_decode = (
        float(
            table.decode[0, batch] + table.shared_decode[0, min(batch * model.ranks, table.shared_decode.shape[1] - 1)]
        )
        / batch
    )
    work = per_fill * fill + per_decode * decode
    return per_fill * fill / work if work else 0.0


def _service_result(made: Plant, twin: TwinResult, service: int, use: ServiceUse, sustainable: float) -> ServiceResult:
    stats, ids, line = twin.services[service], _workers(made, service), twin.timeline
    assert line is not None
    w, plan, blocks = twin.workers, made.replicas[service], _blocks(made, service)
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


def _result(
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
    known = [r.deployment for r in made.replicas]
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
        power_budget_w=power.budget_w,
        power_scope=power.scope,
        peak_power_w=books.peak_w[power.scope],
        mean_power_w=books.mean_w[power.scope],
        utilisation=sum(u.busy_share * u.gpus for u in physical.services) / made.gpus,
        output_tokens_s=_point(output / horizon),
        tokens_s_user=band("tpot", known, 1.0 / float(tpot) if tpot else 0.0, inverse=True),
        tokens_per_j=band("energy", known, output / books.energy.board_j, inverse=True),
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
        accuracy_note=sentence(known),
    )


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _timeline(made: Plant, twin: TwinResult, physical: PhysicalRun, books: Books) -> Timeline:
    line = twin.timeline
    assert line is not None
    dt = physical.bucket_s
    blocks = np.array([_blocks(made, service) for service in range(len(made.replicas))])
    return Timeline(
        time_s=np.arange(BUCKETS, dtype=np.float64) * dt,
        bucket_s=dt,
        arrived_s=line.arrived / dt,
        output_tokens_s=line.output_tokens / dt,
        waiting=line.waiting.astype(float),
        running=line.running.astype(float),
        kv_use=line.blocks / blocks[:, None],
        board_w=physical.board_w,
        it_w=books.it_w,
        facility_w=books.facility_w,
    )


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


def _price_of_idleness(made: Plant, progress: Progress) -> str:
    """What a million output tokens would cost with the traces as recorded, unscaled."""
    factory = made.factory
    if not all(load.trace for load in factory.workload):
        return ""
    progress("pricing idleness")
    names = [s.name for s in factory.services]
    streams = [
        generate(load, names.index(load.service), base_rate_s(load), factory.run.horizon_s, factory.run.seed, i)
        for i, load in enumerate(factory.workload)
    ]
    twin = _simulate(made, merge(streams), factory.run.horizon_s)
    physical = _physical(made, twin, factory.run.horizon_s)
    raw = account(physical, factory).money.usd_per_mtok_output
    busy = sum(u.busy_share * u.gpus for u in physical.services) / made.gpus
    return f"price of idleness: the traces as recorded would keep the GPUs {busy:.1%} busy at ${raw:,.2f} per million output tokens"
