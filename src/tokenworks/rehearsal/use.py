"""What a run used, in the terms of the books: tokens, joules and busy time of each service."""

from __future__ import annotations

import numpy as np

from tokenworks.economics.account import PhysicalRun, ServiceUse
from tokenworks.physics.worker_model import MICROJOULES_PER_J, WorkerModel
from tokenworks.rehearsal.plant import Plant, free_gpus, idle_w, ticks, workers_of
from tokenworks.twin.cell import TwinResult


def physical_run(made: Plant, twin: TwinResult, horizon_s: float) -> PhysicalRun:
    line = twin.timeline
    assert line is not None
    bucket_s = horizon_s / line.arrived.shape[-1]
    uses = tuple(_use(made, twin, service, horizon_s) for service in range(len(made.replicas)))
    gpus = made.gpus
    spare = sum(idle_w(s.system) * free_gpus(made.replicas, s) for s in made.factory.systems)
    busy = np.array([u.busy_share for u in uses])
    share = np.array([u.gpus for u in uses]) / max(1, gpus)
    tokens = line.output_tokens / np.maximum(1, line.output_tokens.mean(axis=1, keepdims=True))
    activity = np.clip(
        (np.clip(tokens, 0, 1 / np.maximum(busy[:, None], 1e-9)) * (busy * share)[:, None]).sum(axis=0), 0, 1
    )
    return PhysicalRun(horizon_s, bucket_s, line.joules / bucket_s, activity, spare, uses, gpus)


def _use(made: Plant, twin: TwinResult, service: int, horizon_s: float) -> ServiceUse:
    w, stats, ids = twin.workers, twin.services[service], workers_of(made, service)
    dynamic = float(w.dynamic_uj[ids].sum()) / MICROJOULES_PER_J
    fill, decode = float(w.prefill_tokens[ids].sum()), float(w.decode_tokens[ids].sum())
    share = _prefill_share(
        made.model_of(service), fill, decode, float(w.batch_steps[ids].sum()), float(w.decode_steps[ids].sum())
    )
    return ServiceUse(
        name=made.replicas[service].service.name,
        gpus=made.replicas[service].gpus,
        busy_share=float(w.busy_ticks[ids].mean()) / ticks(horizon_s),
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
