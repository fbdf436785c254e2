"""A replica in the twin against its row of the wide pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.plan.ask import Ask
from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide import Wide, wide
from tokenworks.plan.wide.load import loaded, points
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate


@dataclass(frozen=True)
class Point:
    """Requests per second, mean latencies in seconds, mean board watts."""

    requests_s: float
    ttft_s: float
    tpot_s: float
    board_w: float
    ttft_p95_s: float


def drawn(ask: Ask, count: int, rate_s: float, seed: int) -> Requests:
    """Requests of the sample, each equally often, Poisson; rate 0: all at once."""
    r = np.random.default_rng(seed)
    size = len(ask.input_tokens)
    rows = np.concatenate([r.permutation(size) for _ in range(-(-count // size))])[:count]
    at = np.cumsum(r.exponential(1 / rate_s, count)) if rate_s else np.zeros(count)
    zero, none = np.zeros(count, np.int64), np.zeros(0, np.uint64)
    return Requests(
        arrival=np.rint(at * TICKS_PER_S).astype(np.int64),
        input_tokens=ask.input_tokens[rows].astype(np.int32),
        output_tokens=ask.output_tokens[rows].astype(np.int32),
        service=np.zeros(count, np.int16), tenant=np.zeros(count, np.int32), session=zero - 1, priority=np.zeros(count, np.int8),
        timeout=zero, think=zero, block_start=np.zeros(count + 1, np.int64), block_hash=none, hash_block_tokens=0,
    )  # fmt: skip


def rehearsed(cell: Cell, ask: Ask, count: int, rate_s: float = 0.0, seed: int = 1) -> Point:
    """What the twin measures between the first and the last fifth of completions (latencies: of requests that come then)."""
    requests = drawn(ask, count, rate_s, seed)
    twin = simulate(cell, requests, TwinOptions(record=True))
    log = twin.log
    assert log is not None
    order = np.argsort(log.finish)
    inside = order[len(order) // 5 : len(order) * 4 // 5]
    span = (log.finish[inside[-1]] - log.finish[inside[0]]) / TICKS_PER_S
    ttft = (log.first_token - log.arrival)[inside] / TICKS_PER_S
    later = requests.output_tokens[inside] - 1
    tpot = ((log.finish - log.first_token)[inside] / np.maximum(later, 1))[later > 0] / TICKS_PER_S
    joules = (twin.workers.dynamic_uj + twin.workers.static_uj).sum() / 1e6
    idle = sum(
        cell.models[v].idle_w * (twin.end_ticks - busy) / TICKS_PER_S
        for v, busy in zip(cell.workers, twin.workers.busy_ticks, strict=True)
    )
    return Point(
        float((len(inside) - 1) / span),
        float(ttft.mean()),
        float(tpot.mean()) if len(tpot) else 0.0,
        float((joules + idle) / (twin.end_ticks / TICKS_PER_S)),
        float(np.quantile(ttft, 0.95)),
    )


def alone(deployment: Deployment) -> Cell:
    return Cell((compile_worker(deployment),), (0,), (ServicePlan("one", workers=(0,)),))


def apart(prefill: Deployment, decode: Deployment, ratio: tuple[int, int]) -> Cell:
    """Prefill and decode workers of a disaggregated service."""
    p, d = ratio
    plan = ServicePlan("two", prefill=tuple(range(p)), decode=tuple(range(p, p + d)))
    return Cell((compile_worker(prefill), compile_worker(decode)), (0,) * p + (1,) * d, (plan,))


def predicted(deployment: Deployment, ask: Ask, role: str = "serve") -> Wide:
    """The rows of one replica, up to its largest batch."""
    return wide([Shape("", role, deployment)], ask)


def at_rate(deployment: Deployment, ask: Ask, rate_s: float) -> Point:
    """A replica that serves this rate."""
    found = predicted(deployment, ask)
    load = loaded(
        points(found, np.arange(len(found)), deployment.dp),
        rate_s,
        float(ask.output_tokens.var() / ask.output_tokens.mean() ** 2),
    )
    return Point(rate_s, load.ttft_s, load.tpot_s, load.board_w, load.ttft_p95_s)


def at_batch(deployment: Deployment, ask: Ask, batch: int, role: str = "serve") -> Point:
    found = predicted(deployment, ask, role)
    i = int(np.flatnonzero(found.batch == batch)[0])
    return Point(*(float(getattr(found, n)[i]) for n in ("requests_s", "ttft_s", "tpot_s", "board_w", "ttft_p95_s")))
