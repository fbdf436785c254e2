"""Requests of a factory: what its services sustain, and streams scaled to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.plant import Plant, ticks
from tokenworks.spec.demand import COUNTED, Workload
from tokenworks.spec.factory import Run
from tokenworks.twin.cell import Cell, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import CHUNK, base_rate_s, stream
from tokenworks.workload.streams import head, joined, merged, regrouped
from tokenworks.workload.trace_formats import load_trace

Source = Callable[[], Iterator[Requests]]  # makes a stream, the same one every time

FLOOD_REQUESTS = 600  # per sequence slot group: what saturates one replica
FLOOD_S = 1e7  # recorded time in which a flood's requests are found: 63 bits of 10 ps hold nine times as much
FLOOD_STREAM = 1000  # number of a flood: workloads have smaller ones


def sustainable_rate_s(made: Plant, service: int, load: Workload) -> float:
    """Requests per second that all replicas of a service sustain: it is flooded with requests of the workload, and
    the rate is taken between the first and last fifth of completions, free of fill and drain. Of equal aggregated
    replicas one stands for all."""
    cell, share = _flooded(made, service)
    model = made.model_of(service)  # every attention-DP rank runs max_seqs of its own
    count = max(FLOOD_REQUESTS, 3 * model.max_seqs * model.ranks) * len(cell.workers)
    wanted, seed = round(1.2 * count), made.factory.run.seed
    source, rate_s = _enough(load, wanted), max(base_rate_s(load) or 1.0, wanted / FLOOD_S)
    flood = head(stream(source, 0, rate_s, math.inf, seed, FLOOD_STREAM + service, chunk=wanted), wanted)
    if flood is None:
        raise InputError(f"{made.replicas[service].service.name}: its workload sends no request")
    zero = np.zeros(len(flood), np.int64)
    log = simulate(cell, replace(flood, arrival=zero, think=zero), TwinOptions(record=True)).log
    assert log is not None
    done = np.sort(log.finish[log.first_token >= 0])
    if len(done) < 10:
        raise InputError(f"{made.replicas[service].service.name}: no request of its workload fits a replica")
    low, high = len(done) // 5, len(done) * 4 // 5
    return float((high - low) / (done[high] - done[low]) * TICKS_PER_S) * share


def _enough(load: Workload, wanted: int) -> Workload:
    """A workload that counts its requests, with so many: a handful fits one batch and tells nothing of a rate."""
    if load.arrivals is None or load.arrivals.kind not in COUNTED:
        return load
    return load.model_copy(update={"arrivals": load.arrivals.model_copy(update={"requests": wanted})})


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


def demands(made: Plant) -> tuple[list[float], list[Source], list[str]]:
    """Sustainable rates by service; what makes the stream of each workload, and a note on it."""
    factory = made.factory
    names = [s.name for s in factory.services]
    sustainable = [0.0] * len(names)
    streams, notes = list[Source](), list[str]()
    for i, load in enumerate(factory.workload):
        service = names.index(load.service)
        for asked in {service, names.index(load.sub_agents or load.service)}:
            if not sustainable[asked]:
                sustainable[asked] = sustainable_rate_s(made, asked, load)
        rate = rate_of(load, sustainable[service])
        streams.append(partial(stream_of, made, i, rate))
        notes.append(_note(load, rate, sustainable[service]))
    return sustainable, streams, notes


def stream_of(made: Plant, number: int, rate_s: float) -> Iterator[Requests]:
    """The requests of a workload over the horizon, in chunks, with the patience of the service's callers."""
    factory, load = made.factory, made.factory.workload[number]
    service = [s.name for s in factory.services].index(load.service)
    run, patience = factory.run, ticks(factory.services[service].timeout_s)
    for chunk in stream(load, service, rate_s, run.horizon_s, run.seed, number, run.start_s or 0.0):
        yield replace(chunk, timeout=np.full(len(chunk), patience))


@dataclass(frozen=True)
class Offered:
    """All workloads as one stream. ``for_run`` can be called once."""

    head: Requests  # the first ones, at most CHUNK
    rest: Iterator[Requests]
    again: Source  # from the beginning

    def for_run(self, run: Run) -> Requests | Iterator[Requests] | Source:
        """A stream of constant memory, or what makes it for each of several cells; whole where the run records requests."""
        if run.record_requests:
            return joined([self.head, *self.rest])
        return self.again if run.cells > 1 else chain([self.head], self.rest)


def _chunks(sources: Sequence[Source]) -> Iterator[Requests]:
    return regrouped(merged([source() for source in sources]), CHUNK)


def as_one(sources: Sequence[Source]) -> Offered:
    """Streams merged by arrival. Raises InputError where there is no request."""
    again = partial(_chunks, sources)
    chunks = again()
    first = next(chunks, None)
    if first is None:
        raise InputError("the workload sends no request within the horizon")
    return Offered(first, chunks, again)


def _note(load: Workload, rate_s: float, sustainable_s: float) -> str:
    failed = load_trace(load.trace).left_out if load.trace else 0
    left = f", {failed:,} failed requests of the trace left out" if failed else ""
    return (
        f"{load.service}: {load.source} at {_number(rate_s)} req/s, {rate_s / sustainable_s:.0%} of the sustainable "
        f"{_number(sustainable_s)}{left}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rate_of(load: Workload, sustainable: float) -> float:
    """Requests per second of a workload, by its scale."""
    base = base_rate_s(load)
    if load.scale.kind == "sustainable":
        return load.scale.value * sustainable
    return load.scale.value if load.scale.kind == "rate" else load.scale.value * (base or 1.0)
