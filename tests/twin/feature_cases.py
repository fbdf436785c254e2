"""Random small cells with prefix caches and tiers, prefill and decode pools, power caps and timelines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from random_cases import random_model, random_table

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import KvTier, WorkerModel
from tokenworks.twin.cell import KV_AWARE, Cell, PowerCap, ServicePlan, TwinOptions


def feature_model(rng: np.random.Generator, number: int, unit_tokens: int) -> WorkerModel:
    """A random model with prefix cache, KV tiers, slow transfers and up to three clock levels."""
    model = random_model(rng, number)
    block = int(rng.choice([b for b in range(1, unit_tokens + 1) if unit_tokens % b == 0]))
    tiers = [
        KvTier(f"t{k}", int(rng.integers(0, 6)) * unit_tokens // block, int(rng.integers(0, 20)))
        for k in range(int(rng.integers(0, 3)))
    ]
    lines = model.levels[0].decode.shape[0]
    extra = [
        random_table(rng, model.max_seqs, model.token_budget, model.ranks, lines)
        for _ in range(int(rng.integers(0, 3)))
    ]
    return replace(
        model,
        block_tokens=block,
        kv_blocks=int(rng.integers(4, 40)),
        prefix_cache=bool(rng.random() < 0.8),
        tiers=tuple(tiers),
        levels=(*model.levels, *(replace(x, active_w=300.0 - 90.0 * k) for k, x in enumerate(extra, 1))),
        transfer_ticks_per_token=int(rng.integers(0, 30)),
        transfer_latency_ticks=int(rng.choice([0, 5, 2000])),
    )


def feature_plans(rng: np.random.Generator) -> tuple[list[ServicePlan], int]:
    """One or two services, some split into prefill and decode pools; and how many workers they have."""
    plans, workers = [], 0
    for i in range(int(rng.integers(1, 3))):
        sizes = [int(rng.integers(1, 4)) for _ in range(int(rng.integers(1, 3)))]
        spans = [tuple(range(workers + sum(sizes[:k]), workers + sum(sizes[: k + 1]))) for k in range(len(sizes))]
        workers += sum(sizes)
        pools = {"workers": spans[0]} if len(spans) == 1 else {"prefill": spans[0], "decode": spans[1]}
        weight, waiting = int(rng.choice([0, 100, 256])), int(rng.choice([0, 0, 4]))
        plans.append(ServicePlan(f"s{i}", **pools, policy=int(rng.choice([2, 5, 5, rng.integers(0, 6)])),
                                 kv_weight_256=weight, max_waiting=waiting))  # fmt: skip
    return plans, workers


def feature_requests(rng: np.random.Generator, services: int, unit: int, spread: int) -> Requests:
    """Requests whose prompts share prefixes: each takes its hashes from one of a few chains."""
    n = int(rng.integers(1, 40))
    longest = int(rng.choice([8, 40, 100]))
    prompt = rng.integers(1, longest + 1, n).astype(np.int32)
    chain = rng.integers(0, 4, n)
    units = np.array([rng.integers(0, p // unit + 1) for p in prompt])
    hashes = [
        np.uint64(1 << 40) * np.uint64(c) + np.arange(u, dtype=np.uint64) for c, u in zip(chain, units, strict=True)
    ]
    arrival = np.sort(rng.integers(0, spread * n, n))
    return Requests(
        arrival.astype(np.int64), prompt, rng.integers(1, longest + 1, n).astype(np.int32),
        rng.integers(0, services, n).astype(np.int16), np.zeros(n, np.int32), rng.integers(-1, 4, n).astype(np.int64),
        rng.choice([0, 0, 1, 2], n).astype(np.int8), rng.choice([0, 0, spread * 5, 1000], n).astype(np.int64),
        rng.choice([0, spread], n).astype(np.int64), np.concatenate([[0], np.cumsum(units)]).astype(np.int64),
        np.concatenate(hashes), unit,
    )  # fmt: skip


def feature_case(seed: int) -> tuple[Cell, Requests, TwinOptions]:
    rng = np.random.default_rng((seed, 77))
    unit = int(rng.choice([1, 2, 4, 6]))
    models = tuple(feature_model(rng, i, unit) for i in range(int(rng.integers(1, 3))))
    plans, count = feature_plans(rng)
    workers = tuple(int(rng.integers(0, len(models))) for _ in range(count))
    spread = int(rng.choice([1, 100, 10**6, 10**9]))
    load = feature_requests(rng, len(plans), unit, spread)
    longest = max(
        int(x.mixed.max()) >> 20 for m in models for x in m.levels
    )  # a tick must not be much shorter than a step
    step = longest // int(rng.choice([1, 3, 10])) + int(rng.choice([1, spread]))
    caps = tuple(
        PowerCap(
            f"c{k}",
            tuple(int(w) for w in rng.permutation(count)[: rng.integers(1, count + 1)]),
            float(rng.uniform(10, 400 * count)),
        )
        for k in range(int(rng.integers(0, 3)))
    )
    span = spread * len(load)
    caps = tuple(by_time(cap, seed + k, count, span) for k, cap in enumerate(caps))
    options = TwinOptions(
        horizon_ticks=int(rng.choice([0, 0, 2 * span])),
        control_ticks=max(step, span // 50 + 1),
        clients=int(rng.integers(1, 6)) if rng.random() < 0.3 else 0,
        bucket_ticks=max(1, span // 7),
        buckets=int(rng.choice([0, 9])),
        warmup_ticks=int(rng.choice([0, span // 4])),
        record=True,
    )
    cell = Cell(models, workers, tuple(plans), caps, seed=int(rng.integers(0, 1000)))
    cell = with_promises(roomy(cell, load, seed), seed, span)
    return cell, unordered(load, seed) if options.clients else load, options


def by_time(cap: PowerCap, seed: int, workers: int, span: int) -> PowerCap:
    """Half of the caps change up to three times, some of them to no limit, some twice within a control tick."""
    rng = np.random.default_rng((seed, 82))
    if rng.random() < 0.5:
        return cap
    ticks = np.sort(rng.integers(0, span + 1, int(rng.integers(1, 4))))
    watts = [float(rng.choice([np.inf, rng.uniform(10, 400 * workers)], p=[0.3, 0.7])) for _ in ticks]
    return replace(cap, steps=tuple(zip(ticks.tolist(), watts, strict=True)))


def roomy(cell: Cell, load: Requests, seed: int) -> Cell:
    """In half of the cells the longest request just fits: fewer are refused, more are preempted."""
    rng = np.random.default_rng((seed, 81))
    longest = int((load.input_tokens + load.output_tokens).max()) - 1
    fits = lambda m: max(m.kv_blocks, -(-longest // m.block_tokens) + int(rng.integers(0, 3)))  # noqa: E731
    return (
        replace(cell, models=tuple(replace(m, kv_blocks=fits(m)) for m in cell.models)) if rng.random() < 0.5 else cell
    )


def with_promises(cell: Cell, seed: int, span: int) -> Cell:
    """Half of the services promise latencies, of the size of the run or far below it, and route by any policy."""
    rng = np.random.default_rng((seed, 79))
    slo = lambda: int(rng.choice([0, 100, span // 20 + 1, span]))  # noqa: E731
    plans = [
        replace(p, slo_ttft_ticks=slo(), slo_tpot_ticks=slo(), slo_e2e_ticks=slo(), policy=int(rng.integers(0, 6)))
        if rng.random() < 0.5
        else p
        for p in cell.services
    ]
    return replace(cell, services=tuple(plans))


def unordered(load: Requests, seed: int) -> Requests:
    """Clients of a closed loop start in any order."""
    rng = np.random.default_rng((seed, 80))
    return replace(load, arrival=rng.permutation(load.arrival)) if rng.random() < 0.5 else load


def routing_case(seed: int) -> tuple[Cell, Requests, TwinOptions]:
    """A feature case whose requests all go, KV-aware, to one pool of up to 12 workers. Sizes are round: costs often tie."""
    cell, load, options = feature_case(seed)
    rng = np.random.default_rng((seed, 78))
    count, room = int(rng.integers(2, 13)), int(rng.choice([1, 1, 4, 8]))
    weight = int(rng.choice([1, 100, 256, 256, 256, 1000]))
    plan = ServicePlan(
        "pool", workers=tuple(int(w) for w in rng.permutation(count)), policy=KV_AWARE, kv_weight_256=weight
    )
    workers = tuple(int(m) for m in rng.integers(0, len(cell.models), count))
    models = tuple(replace(m, prefix_cache=bool(rng.random() < 0.9), kv_blocks=m.kv_blocks * room) for m in cell.models)
    prompts = (-(-load.input_tokens // 12) * 12 + 1).astype(np.int32)
    answers = rng.choice([[1, 1], [11, 23], [23, 47]][int(rng.integers(0, 3))], len(load)).astype(np.int32)
    load = replace(load, service=np.zeros_like(load.service), input_tokens=prompts, output_tokens=answers)
    return Cell(models, workers, (plan,)), load, options
