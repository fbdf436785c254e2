"""Random small and nasty cases, and the comparison of kernel and reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import StepTable, WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.reference import Reference, latencies
from tokenworks.twin.simulate import simulate


def random_table(rng: np.random.Generator, seqs: int, budget: int, ranks: int, lines: int) -> StepTable:
    big = int(rng.choice([1, 10**3, 10**9, 10**14]))

    def table(*shape: int) -> np.ndarray:
        values = rng.integers(0, big, shape)
        if rng.random() < 0.7:
            values = np.sort(values, axis=-1)
        values[..., 0] = 0
        values[..., -2:].sort(axis=-1)  # tables go on with their last difference: time never runs backwards
        return values.astype(np.int64)

    n, b = seqs + 1, budget + seqs + 1
    shared = (lambda *s: table(*s)) if ranks > 1 or rng.random() < 0.3 else (lambda *s: np.zeros(s, np.int64))
    rate = lambda *s: rng.integers(0, max(2, big // 50), s).astype(np.int64) * int(rng.random() < 0.8)  # noqa: E731
    decode, mixed = table(lines, n), table(lines, b)
    decode[0, 1:] += 1 + (1 << 20)  # a step takes at least a tick
    mixed[0, 1:] += 1 + (1 << 20)
    return StepTable(
        decode, mixed, table(lines, n), rate(lines, 3), rate(lines, 3), shared(lines, ranks * seqs + 1),
        shared(lines, ranks * (budget + seqs) + 1), table(n), table(b), table(n), rate(3), rate(3),
        shared(ranks * seqs + 1), shared(ranks * (budget + seqs) + 1), 300.0, 1.0,
    )  # fmt: skip


def random_model(rng: np.random.Generator, number: int) -> WorkerModel:
    seqs = int(rng.integers(1, 7))
    budget = int(rng.integers(seqs, 40))
    ranks = int(rng.choice([1, 1, 2, 3]))
    limit = (
        int(rng.integers(1, 30)) if rng.random() < 0.4 else 0,
        int(rng.integers(1, 30)) if rng.random() < 0.3 else 0,
    )
    return WorkerModel(
        name=f"m{number}", gpus=ranks, levels=(random_table(rng, seqs, budget, ranks, int(rng.integers(1, 4))),),
        limits=limit, ranks=ranks, max_seqs=seqs, token_budget=budget, kv_blocks=int(rng.integers(4, 40)),
        block_tokens=int(rng.integers(1, 9)), reserve_output=bool(rng.random() < 0.3), prefill_alone=bool(rng.random() < 0.4),
        chunked_prefill=bool(rng.random() < 0.7), receive_interval=int(rng.choice([1, 1, 2, 5])), plans_ahead=budget % 5 < 2, prefix_cache=False, tiers=(),
        idle_w=50.0, load_s=1.0, kv_bytes_per_token=1.0, transfer_ticks_per_token=1, transfer_latency_ticks=0,
        tokens_per_step=float(rng.choice([1.0, 1.0, 1.5, 2.7])),
    )  # fmt: skip


def random_case(seed: int) -> tuple[Cell, Requests, TwinOptions]:
    rng = np.random.default_rng(seed)
    models = tuple(random_model(rng, i) for i in range(int(rng.integers(1, 3))))
    services = int(rng.integers(1, 3))
    pools = [int(rng.integers(1, 4)) for _ in range(services)]
    workers = tuple(int(rng.integers(0, len(models))) for _ in range(sum(pools)))
    starts = np.concatenate([[0], np.cumsum(pools)])
    plans = tuple(
        ServicePlan(
            f"s{i}",
            workers=tuple(range(starts[i], starts[i + 1])),
            policy=int(rng.integers(0, 5)),
            max_waiting=int(rng.choice([0, 0, 3])),
            slo_ttft_ticks=int(rng.choice([0, 1000])),
        )
        for i in range(services)
    )
    n = int(rng.integers(1, 40))
    spread = int(rng.choice([1, 100, 10**6, 10**9]))
    arrival = np.sort(rng.integers(0, spread * n, n))
    if rng.random() < 0.3:
        arrival //= max(1, spread * 3)
    clients = int(rng.integers(1, 6)) if rng.random() < 0.3 else 0
    longest = int(rng.choice([5, 40, 120]))
    requests = Requests(
        arrival.astype(np.int64), rng.integers(1, longest + 1, n).astype(np.int32), rng.integers(1, longest + 1, n).astype(np.int32),
        rng.integers(0, services, n).astype(np.int16), np.zeros(n, np.int32), rng.integers(-1, 4, n).astype(np.int64),
        rng.choice([0, 0, 1, 2], n).astype(np.int8), rng.choice([0, 0, spread * 5, 1000], n).astype(np.int64),
        rng.choice([0, spread], n).astype(np.int64), np.zeros(n + 1, np.int64), np.zeros(0, np.uint64), 0,
    )  # fmt: skip
    horizon = int(rng.choice([0, 0, spread * n * 2]))
    return (
        Cell(models, workers, plans, seed=int(rng.integers(0, 1000))),
        requests,
        TwinOptions(
            horizon_ticks=horizon,
            clients=clients,
            record=True,
            warmup_ticks=int(rng.choice([0, spread * n // 4])),
        ),
    )


def linked(case: tuple[Cell, Requests, TwinOptions], seed: int) -> tuple[Cell, Requests, TwinOptions]:
    """The case with requests that follow up to three earlier ones; arrivals in any order."""
    cell, requests, options = case
    rng, n = np.random.default_rng(seed), len(requests)
    before = [np.unique(rng.integers(0, i, int(rng.choice([0, 1, 1, 2, 3])))) if i else [] for i in range(n)]
    after_start = np.concatenate([[0], np.cumsum([len(b) for b in before])]).astype(np.int64)
    after = np.concatenate([np.asarray(b, np.int64) for b in before])
    follows = replace(requests, arrival=rng.permutation(requests.arrival), after_start=after_start, after=after)
    return cell, follows, replace(options, clients=0)


def differences(seed: int, max_leap: int = 1 << 40, links: bool = False) -> list[str]:
    """Every field in which kernel and reference disagree on a random case."""
    cell, requests, options = linked(random_case(seed), seed) if links else random_case(seed)
    slow = Reference(cell, requests, options)
    end = slow.run()
    fast = simulate(cell, requests, options, max_leap)
    found: list[str] = []

    def same(name: str, a: object, b: object) -> None:
        if not np.array_equal(np.asarray(a), np.asarray(b)):
            found.append(f"{name}: reference {a!r}, kernel {b!r}"[:400])

    same("end", end, fast.end_ticks)
    log = fast.log
    assert log is not None
    for name, attribute in (("first_token", "first"), ("finish", "finish"), ("status", "status"), ("produced", "produced"),
        ("preemptions", "preemptions"), ("worker", "worker")):  # fmt: skip
        same(name, [getattr(r, attribute) for r in slow.requests], getattr(log, name))
    for name in ("steps", "decode_steps", "busy", "prefill_tokens", "decode_tokens", "batch_steps", "joules"):
        theirs = {"busy": "busy_ticks", "joules": "dynamic_uj"}.get(name, name)
        same(name, [getattr(w, name) for w in slow.workers], getattr(fast.workers, theirs))
    for s, stats in enumerate(fast.services):
        same("arrived", slow.arrived[s], stats.arrived)
        same("full", slow.rejected_full[s], stats.rejected_queue_full)
        same("long", slow.rejected_long[s], stats.rejected_too_long)
        same("timed out", slow.timed_out[s], stats.timed_out)
        for name, counts in latencies(slow.requests, s, options.warmup_ticks).items():
            same(name, counts, getattr(stats, f"{name}_counts"))
    return found
