"""Runs a factory on the virtual clock: factory file → worker models → requests → twin → books → RunResult."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial

from tokenworks.economics.account import account
from tokenworks.events.requests import Requests
from tokenworks.events.results import Money, RunResult, Scaled
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.agents import AgentDemand, agent_demand, has_agents
from tokenworks.rehearsal.demand import Source, as_one, demands, rate_of, stream_of
from tokenworks.rehearsal.handover import Handover
from tokenworks.rehearsal.metering import Metered, Unpriced, metered, usage_of
from tokenworks.rehearsal.plant import BUCKETS, Plant, plant, ticks
from tokenworks.rehearsal.play import NothingDoneError, Stop, outcome, play
from tokenworks.rehearsal.scaled import scaled
from tokenworks.rehearsal.use import physical_run
from tokenworks.spec.factory import Factory, Run
from tokenworks.twin.cell import RequestLog, StepLog, TwinResult
from tokenworks.workload.generate import base_rate_s

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rehearsal:
    """A run with its requests: ``log`` is None unless the factory file asks to record them."""

    result: RunResult
    requests: Requests  # all with a log, else the first ones
    log: RequestLog | None
    services: tuple[str, ...]
    workers: tuple[str, ...]  # names, by index
    steps: StepLog | None  # of the traced window
    made: Plant
    sustainable_s: tuple[float, ...]  # requests per second, by service
    metered: Metered | None = None  # of a factory that agents ask


def run_factory(factory: Factory, progress: Progress = lambda _: None) -> RunResult:
    """Rehearse the factory over its horizon."""
    return rehearse(factory, progress).result


def rehearse(
    factory: Factory,
    progress: Progress = lambda _: None,
    stop: Stop = lambda: False,
    window_s: tuple[float, float] = (0.0, 0.0),
    metering: bool = False,
    idleness: bool = True,
) -> Rehearsal:
    """Rehearse the factory over its horizon, keeping its requests, and the steps that end in the window. ``metering``: meter
    every request; those of a factory that agents ask are metered anyway. ``idleness``: also say what the traces as
    recorded would cost, which is a second play.

    Once ``stop`` says so, what is simulated so far becomes the result, marked as interrupted; KeyboardInterrupt where
    that is nothing.
    """
    progress("compiling worker models")
    made = plant(factory)
    progress("finding sustainable rates")
    sustainable, sources, notes = demands(made)
    if stop():
        raise NothingDoneError
    progress("running the twin")
    demand = _metered_demand(made, sources, sustainable) if metering or has_agents(factory) else None
    requests, kept = (demand.requests, demand.requests) if demand else _offered(sources, factory.run)
    twin, events = played(made, requests, demand, stop, window_s)
    done, twin = _until(made, twin)
    progress("doing the books")
    result = outcome(done, twin, kept, sustainable, notes)
    if done is not made:
        result = replace(result, interrupted=True)
    if made.cell.scaling and not stop():
        progress("running the twin with all replicas up")
        result = replace(result, scaled=_beside_fixed(done, twin, demand, sources, result.money, stop))
    idle = "" if stop() or not idleness else _price_of_idleness(made, progress, stop)
    result = replace(result, trace_note="; ".join(filter(None, [result.trace_note, idle])))
    services = tuple(s.name for s in factory.services)
    meters = metered(made, twin, events, result.money) if events else None
    log = twin.log if factory.run.record_requests else None
    return Rehearsal(result, kept, log, services, _worker_names(made), twin.steps, made, tuple(sustainable), meters)


def _beside_fixed(
    made: Plant, twin: TwinResult, demand: AgentDemand | None, sources: list[Source], money: Money, stop: Stop
) -> tuple[Scaled, ...]:
    """What scaling did, beside a play of the same requests without it; nothing where that was stopped."""
    whole = replace(made, cell=replace(made.cell, scaling=(), budget=None))
    requests = demand.requests if demand else _offered(sources, made.factory.run)[0]
    fixed = play(whole, requests, stop)
    return () if stop() else scaled(made, twin, fixed, money)


def _offered(sources: list[Source], run: Run) -> tuple[Requests | Iterator[Requests] | Source, Requests]:
    """The requests as the twin takes them, and those that are kept: all where they are whole, else the first ones."""
    offered = as_one(sources)
    requests = offered.for_run(run)
    return requests, requests if isinstance(requests, Requests) else offered.head


def _metered_demand(made: Plant, sources: list[Source], sustainable: list[float]) -> AgentDemand:
    """All requests, and whose they are."""
    names = [s.name for s in made.factory.services]
    rates = [rate_of(load, sustainable[names.index(load.service)]) for load in made.factory.workload]
    return agent_demand(made, sources, rates)


def played(
    made: Plant,
    requests: Requests | Iterator[Requests] | Source,
    demand: AgentDemand | None,
    stop: Stop,
    window_s: tuple[float, float],
) -> tuple[TwinResult, Unpriced | None]:
    """A metered run's events are made beside the twin."""
    if demand is None:
        return play(made, requests, stop, window_s), None
    with Handover(partial(usage_of, made, demand)) as sink:
        return play(made, requests, stop, window_s, sink), sink.result()


def _worker_names(made: Plant) -> tuple[str, ...]:
    return tuple(f"{made.models[model].name} {i}" for i, model in enumerate(made.cell.workers))


def _until(made: Plant, twin: TwinResult) -> tuple[Plant, TwinResult]:
    """The plant with the horizon that the run reached, and its timeline that far; the same ones after a whole run."""
    horizon, line = ticks(made.factory.run.horizon_s), twin.timeline
    assert line is not None
    if twin.end_ticks >= horizon:
        return made, twin
    kept = max(1, round(twin.end_ticks / ticks(made.factory.run.horizon_s / BUCKETS)))
    run = made.factory.run.model_copy(update={"horizon_s": twin.end_ticks / TICKS_PER_S})
    short = {f.name: getattr(line, f.name)[..., :kept] for f in fields(line)}
    factory = made.factory.model_copy(update={"run": run})
    return replace(made, factory=factory), replace(twin, timeline=type(line)(**short))


def _price_of_idleness(made: Plant, progress: Progress, stop: Stop) -> str:
    """What a million output tokens would cost with the traces as recorded, unscaled."""
    factory = made.factory
    if not all(load.trace for load in factory.workload):
        return ""
    progress("pricing idleness")
    offered = as_one([partial(stream_of, made, i, base_rate_s(load)) for i, load in enumerate(factory.workload)])
    twin = play(made, offered.for_run(factory.run), stop)
    if stop():
        return ""
    physical = physical_run(made, twin, offered.head, factory.run.horizon_s)
    raw = account(physical, factory).money.usd_per_mtok_output
    busy = sum(u.busy_share * u.gpus for u in physical.services) / made.gpus
    return f"price of idleness: the traces as recorded would keep the GPUs {busy:.1%} busy at ${raw:,.2f} per million output tokens"
