"""What a run used, in the terms of the books: tokens, joules and busy time of each service."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.account import PhysicalRun, ServiceUse
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import MICROJOULES_PER_J, WorkerModel
from tokenworks.rehearsal.plant import Plant, free_gpus, idle_w, ticks, workers_of
from tokenworks.rehearsal.purposes import CACHED, PREFILL, PROMPT, Context, Counts, context, joule_shares, time_shares
from tokenworks.twin.cell import TwinResult

Floats = NDArray[np.float64]


def physical_run(made: Plant, twin: TwinResult, requests: Requests, horizon_s: float) -> PhysicalRun:
    line = twin.timeline
    assert line is not None
    bucket_s = horizon_s / line.arrived.shape[-1]
    uses = tuple(_use(made, twin, requests, service, horizon_s) for service in range(len(made.replicas)))
    gpus = made.gpus
    spare = sum(idle_w(s.system) * free_gpus(made.replicas, s) for s in made.factory.systems)
    busy = np.array([u.busy_share for u in uses])
    share = np.array([u.gpus for u in uses]) / max(1, gpus)
    tokens = line.output_tokens / np.maximum(1, line.output_tokens.mean(axis=1, keepdims=True))
    activity = np.clip(
        (np.clip(tokens, 0, 1 / np.maximum(busy[:, None], 1e-9)) * (busy * share)[:, None]).sum(axis=0), 0, 1
    )
    return PhysicalRun(horizon_s, bucket_s, line.joules / bucket_s, activity, spare, uses, gpus)


def board_parts_w(twin: TwinResult, physical: PhysicalRun) -> Floats:
    """Board watts by prefill, decode, static, idle (4, buckets); they sum to the boards' draw.

    Static and idle are the twin's own. Decode's joules are laid out by the tokens made, prefill has what is left.
    """
    line = twin.timeline
    assert line is not None
    dynamic = line.joules - line.static_joules - line.idle_joules
    made = line.output_tokens / np.maximum(1, line.output_tokens.sum(axis=1, keepdims=True))
    decode = np.minimum(dynamic, made * np.array([u.decode_j for u in physical.services])[:, None])
    parts = [(dynamic - decode), decode, line.static_joules, line.idle_joules]
    watts = np.stack([part.sum(axis=0) / physical.bucket_s for part in parts])
    watts[3] += physical.spare_board_w
    return watts


def _use(made: Plant, twin: TwinResult, requests: Requests, service: int, horizon_s: float) -> ServiceUse:
    w, stats, ids = twin.workers, twin.services[service], workers_of(made, service)
    gpus = np.array([made.models[made.cell.workers[i]].gpus for i in ids])
    time, dynamic, reload = np.zeros(4), np.zeros(4), 0.0
    for model, mine, seen in _groups(made, twin, requests, service):
        counts = _counts(twin, mine)
        reloading = float(w.reload_ticks[mine].sum()) * model.gpus / model.ranks
        reload += reloading
        time += (float(w.busy_ticks[mine].sum()) * model.gpus - reloading) * time_shares(model, counts, seen)
        dynamic += float(w.dynamic_uj[mine].sum()) / MICROJOULES_PER_J * joule_shares(model, counts, seen)
    # what prompts cost while they are read goes with decode, where nearly all of the reading happens
    fill_j = float(dynamic[PREFILL])
    busy = max(1.0, reload + time.sum())
    shares = time / busy
    return ServiceUse(
        name=made.replicas[service].service.name,
        gpus=made.replicas[service].gpus,
        busy_share=float(w.busy_ticks[ids] @ gpus) / float(gpus.sum()) / ticks(horizon_s),
        prefill_share=float(shares[PREFILL]),
        input_tokens=stats.input_tokens,
        cached_tokens=stats.cached_tokens,
        output_tokens=stats.output_tokens,
        prefill_j=fill_j,
        decode_j=float(dynamic.sum()) - fill_j,
        static_j=float(w.static_uj[ids].sum()) / MICROJOULES_PER_J,
        system=made.replicas[service].system.id,
        reload_share=reload / busy,
        prompt_share=float(shares[PROMPT]),
        cached_share=float(shares[CACHED]),
        idle_j=_idle_j(made, twin, ids, horizon_s),
    )


def _groups(
    made: Plant, twin: TwinResult, requests: Requests, service: int
) -> Iterator[tuple[WorkerModel, list[int], Context]]:
    """Models of a service, their workers, and the context that tokens of its requests see."""
    stats, ids = twin.services[service], workers_of(made, service)
    rows = requests.service == service
    lengths = (requests.input_tokens[rows].astype(float), requests.output_tokens[rows].astype(float))
    share = stats.cached_tokens / max(1, stats.input_tokens)
    for number in dict.fromkeys(made.cell.workers[i] for i in ids):
        model = made.models[number]
        yield model, [i for i in ids if made.cell.workers[i] == number], context(*lengths, share, model.limits)


def _counts(twin: TwinResult, ids: list[int]) -> Counts:
    w = twin.workers
    steps = max(1.0, float(w.steps[ids].sum()))
    return Counts(
        float(w.prefill_tokens[ids].sum()), float(w.decode_tokens[ids].sum()), float(w.batch_steps[ids].sum()) / steps
    )


def _idle_j(made: Plant, twin: TwinResult, ids: list[int], horizon_s: float) -> float:
    busy_s = twin.workers.busy_ticks[ids] / ticks(1.0)
    watts = np.array([made.models[made.cell.workers[i]].idle_w for i in ids])
    off_s = twin.workers.off_ticks[ids] / ticks(1.0)
    return float(watts @ np.maximum(0.0, horizon_s - busy_s - off_s))
