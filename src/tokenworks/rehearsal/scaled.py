"""What scaling did in a run: replicas over time, cold starts, GPU hours, beside the same fleet with all replicas up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.scaling.predictors import PREDICTORS
from tokenworks.events.results import Latency, Money, Scaled
from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S
from tokenworks.rehearsal.plant import Plant
from tokenworks.twin.cell import LOADING, READY, ReplicaLog, ScalingPlan, TwinResult
from tokenworks.twin.statistics import latency

Floats = NDArray[np.float64]
HOUR_S = 3600.0


def scaled(made: Plant, twin: TwinResult, fixed: TwinResult, money: Money) -> tuple[Scaled, ...]:
    """One of each pool that is scaled. ``fixed``: the same requests with every replica up."""
    return tuple(_pool(made, plan, twin, fixed, money) for plan in made.cell.scaling)


def _pool(made: Plant, plan: ScalingPlan, twin: TwinResult, fixed: TwinResult, money: Money) -> Scaled:
    service, rules, log, line = made.cell.services[plan.service], plan.rules, twin.replicas, twin.timeline
    assert log is not None
    assert line is not None
    ids = [*made.cell.pool(plan)]
    models = [made.models[made.cell.workers[w]] for w in ids]
    end_s, off_s = twin.end_ticks / TICKS_PER_S, twin.workers.off_ticks[ids] / TICKS_PER_S
    gpus, idle_w = (np.array([getattr(m, name) for m in models], float) for name in ("gpus", "idle_w"))
    owned_h, up_h = float(gpus.sum()) * end_s / HOUR_S, float(gpus @ (end_s - off_s)) / HOUR_S
    mine = np.isin(log.worker, ids)
    edges = np.linspace(0, twin.end_ticks, line.arrived.shape[-1] + 1)
    share = owned_h / (made.replicas[plan.service].gpus * end_s / HOUR_S)  # of the service's GPUs
    usd = money.by_service_usd[plan.service] * share
    ttft, before = _ttft(twin, plan.service), _ttft(fixed, plan.service)
    return Scaled(
        service=service.name,
        pool=("workers", "prefill", "decode")[rules.role],
        predictor=PREDICTORS[rules.predictor],
        least=rules.least,
        most=rules.most,
        cold_start_s=rules.load_s,
        cold_starts=int((mine & (log.state == LOADING)).sum()),
        ready=_mean_in(log, ids, READY, edges),
        loading=_mean_in(log, ids, LOADING, edges),
        mean_up=float((end_s - off_s).sum()) / end_s,
        gpu_hours_up=up_h,
        gpu_hours=owned_h,
        usd_up=usd * up_h / owned_h,
        usd=usd,
        off_j=float(idle_w @ off_s),
        board_j=_joules(twin, ids),
        fixed_board_j=_joules(fixed, ids),
        ttft_p99_s=ttft.p99_s,
        fixed_ttft_p99_s=before.p99_s,
        within_slo=_within(twin, plan.service),
        fixed_within_slo=_within(fixed, plan.service),
    )


def _mean_in(log: ReplicaLog, ids: list[int], state: int, edges: Floats) -> Floats:
    """Mean number of workers in a state, by bucket between ``edges`` (ticks)."""
    total = np.zeros(len(edges) - 1)
    for w in ids:
        rows = np.flatnonzero(log.worker == w)
        ends = np.append(log.tick[rows[1:]], edges[-1])
        for row, until in zip(rows, ends, strict=True):
            if log.state[row] == state:
                total += np.diff(np.clip(edges, log.tick[row], until))
    found: Floats = total / np.diff(edges)
    return found


def _joules(twin: TwinResult, ids: list[int]) -> float:
    return float((twin.workers.dynamic_uj[ids] + twin.workers.static_uj[ids]).sum()) / MICROJOULES_PER_J


def _ttft(twin: TwinResult, service: int) -> Latency:
    stats = twin.services[service]
    return latency(stats.ttft_counts, stats.ttft_sum, stats.ttft_max)


def _within(twin: TwinResult, service: int) -> float:
    """Share of the requests that arrived."""
    stats = twin.services[service]
    return stats.within_slo / max(1, stats.arrived)
