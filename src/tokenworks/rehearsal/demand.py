"""Requests of a factory: what its services sustain, and streams scaled to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.plant import Plant, ticks
from tokenworks.spec.factory import Workload
from tokenworks.twin.cell import Cell, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import base_rate_s, generate

FLOOD_REQUESTS = 600  # per sequence slot group: what saturates one replica


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


def demands(made: Plant) -> tuple[list[float], list[Requests], list[str]]:
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
        timeout = np.full(len(stream), ticks(factory.services[service].timeout_s))
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
