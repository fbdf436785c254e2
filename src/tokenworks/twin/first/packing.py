"""WorkerModels and a cell laid out as a few flat arrays for the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.control import tournament
from tokenworks.errors import UnsupportedError
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.cell import Cell

Ints = NDArray[np.int64]

# columns of Tables.number
MAX_SEQS, BUDGET, BLOCKS, BLOCK, RESERVE, ALONE, CHUNKED, INTERVAL, RANKS, SPECULATES = range(10)


class Tables(NamedTuple):
    """All step tables in one array; ``at`` holds the offset of each table by (model, table)."""

    flat: Ints
    at: Ints  # (models, 10)
    size: Ints  # (models, 4): columns of decode, mixed, shared_decode, shared_mixed
    pair: Ints  # (models, lines, 3)
    context: Ints  # (models, lines, 3)
    joule_pair: Ints  # (models, 3)
    joule_context: Ints  # (models, 3)
    limit: Ints  # (models, 2)
    number: Ints  # (models, 10)
    per_step: NDArray[np.float64]  # (models,) tokens per decode step
    lines: int


# columns of Tables.at
DECODE, MIXED, SEQS, SHARED_D, SHARED_M, J_DECODE, J_MIXED, J_SEQS, J_SHARED_D, J_SHARED_M = range(10)


class Layout(NamedTuple):
    """Workers, ranks, services and pools as indices."""

    model: Ints  # (workers,)
    first_rank: Ints  # (workers + 1,)
    service: Ints  # (workers,)
    position: Ints  # (workers,) place in the pool of its service
    pool: Ints  # workers of all services, one after the other
    pool_start: Ints  # (services + 1,)
    policy: Ints  # (services,)
    max_waiting: Ints
    slo: Ints  # (services, 3): TTFT, TPOT, E2E; 0 = none
    seed: int


def pack_tables(models: tuple[WorkerModel, ...]) -> Tables:
    lines = max(m.levels[0].decode.shape[0] for m in models)
    parts: list[Ints] = []
    at, size = np.zeros((len(models), 10), np.int64), np.zeros((len(models), 4), np.int64)
    offset = 0
    for i, model in enumerate(models):
        t = model.levels[0]
        tables = (t.decode, t.mixed, t.seqs, t.shared_decode, t.shared_mixed)
        joules = (t.joule_decode, t.joule_mixed, t.joule_seqs, t.joule_shared_decode, t.joule_shared_mixed)
        for k, table in enumerate((*(_padded(x, lines) for x in tables), *joules)):
            at[i, k] = offset
            parts.append(np.ascontiguousarray(table, np.int64).ravel())
            offset += parts[-1].size
        size[i] = t.decode.shape[1], t.mixed.shape[1], t.shared_decode.shape[1], t.shared_mixed.shape[1]
    numbers = np.array([_numbers(m) for m in models], np.int64)
    return Tables(
        np.concatenate(parts),
        at,
        size,
        np.stack([_padded(m.levels[0].pair, lines) for m in models]),
        np.stack([_padded(m.levels[0].context, lines) for m in models]),
        np.stack([m.levels[0].joule_pair for m in models]),
        np.stack([m.levels[0].joule_context for m in models]),
        np.array([m.limits for m in models], np.int64),
        numbers,
        np.array([m.tokens_per_step for m in models]),
        lines,
    )


def _padded(table: Ints, lines: int) -> Ints:
    """Lines of zeros never lead: costs are not negative."""
    missing = lines - table.shape[0]
    return np.concatenate([table, np.zeros((missing, *table.shape[1:]), np.int64)]) if missing else table


def _numbers(m: WorkerModel) -> list[int]:
    if m.max_seqs > m.token_budget:
        raise UnsupportedError(f"{m.name}: {m.max_seqs} sequences exceed the token budget of {m.token_budget}")
    return [
        m.max_seqs,
        m.token_budget,
        m.kv_blocks,
        m.block_tokens,
        int(m.reserve_output),
        int(m.prefill_alone),
        int(m.chunked_prefill),
        m.receive_interval,
        m.ranks,
        int(m.tokens_per_step > 1.0),
    ]


def pack_layout(cell: Cell) -> Layout:
    for plan in cell.services:
        if plan.prefill or plan.decode:
            raise UnsupportedError(f"service {plan.name}: disaggregated pools are not simulated yet")
    if cell.caps:
        raise UnsupportedError("power caps are not simulated yet")
    ranks = np.array([cell.models[m].ranks for m in cell.workers], np.int64)
    service, position = np.full(len(cell.workers), -1, np.int64), np.zeros(len(cell.workers), np.int64)
    pool: list[int] = []
    start = [0]
    for s, plan in enumerate(cell.services):
        for place, w in enumerate(plan.workers):
            service[w], position[w] = s, place
        pool.extend(plan.workers)
        start.append(len(pool))
    slo = [[p.slo_ttft_ticks, p.slo_tpot_ticks, p.slo_e2e_ticks] for p in cell.services]
    return Layout(
        np.array(cell.workers, np.int64),
        np.concatenate([[0], np.cumsum(ranks)]),
        service,
        position,
        np.array(pool, np.int64),
        np.array(start, np.int64),
        np.array([p.policy for p in cell.services], np.int64),
        np.array([p.max_waiting for p in cell.services], np.int64),
        np.array(slo, np.int64),
        cell.seed,
    )


def pool_trees(layout: Layout) -> tuple[Ints, Ints]:
    """Tournament trees of all pools in one array, and where each starts."""
    trees, starts = [], [0]
    for s in range(len(layout.policy)):
        count = int(layout.pool_start[s + 1] - layout.pool_start[s])
        tree = tournament.tree_for(count)
        tournament.rebuild(tree, np.zeros(count, np.int64))
        trees.append(tree)
        starts.append(starts[-1] + len(tree))
    return np.concatenate(trees), np.array(starts, np.int64)
