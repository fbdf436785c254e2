"""WorkerModels and a cell laid out as a few flat arrays for the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.control import tournament
from tokenworks.errors import InputError, UnsupportedError
from tokenworks.physics.worker_model import StepTable, WorkerModel
from tokenworks.twin import columns as c
from tokenworks.twin.cell import Cell, ServicePlan

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Tables(NamedTuple):
    """Step tables. Variants: every clock level of every model, in order; ``first`` is a model's first variant."""

    flat: Ints  # all tables, one after the other
    line: Ints  # (variants, lines + 1, LINE_COLUMNS)
    number: Ints  # (variants, MODEL_COLUMNS)
    rate: Floats  # (variants,) tokens per decode step
    first: Ints  # (models,)
    price: Ints  # (variants, lines + 1, PRICE_COLUMNS)


class Pools(NamedTuple):
    """Routing: pools of workers, their loads by place (outstanding requests; KV-aware: 256 × blocks
    of outstanding tokens) and tournaments over them."""

    pool: Ints  # (pools, POOL_COLUMNS)
    member: Ints  # workers of all pools
    block: Ints  # their tokens per KV block
    load: Ints
    tree: Ints


def pack_tables(models: tuple[WorkerModel, ...]) -> Tables:
    lines = max(level.decode.shape[0] for m in models for level in m.levels)
    variants = [(m, level) for m in models for level in m.levels]
    parts: list[Ints] = []
    line = np.zeros((len(variants), lines + 1, c.LINE_COLUMNS), np.int64)
    price = np.zeros((len(variants), lines + 1, c.PRICE_COLUMNS), np.int64)
    offset = 0
    for v, (model, level) in enumerate(variants):
        for k, table in enumerate(_tables(level, lines)):
            wide = table.shape[1]
            line[v, :, k] = offset + wide * np.arange(lines + 1)
            parts.append(table.ravel())
            offset += table.size
        line[v, :, c.PAIR : c.PAIR + 3] = _with_joules(level.pair, level.joule_pair, lines)
        line[v, :, c.CONTEXT : c.CONTEXT + 3] = _with_joules(level.context, level.joule_context, lines)
        price[v] = _prices(line[v], level, lines, model.ranks)
    first = np.concatenate([[0], np.cumsum([len(m.levels) for m in models])[:-1]]).astype(np.int64)
    number = np.array([_numbers(m, level) for m, level in variants], np.int64)
    rate = np.array([float(m.tokens_per_step) for m, _ in variants])
    return Tables(np.concatenate(parts), line, number, rate, first, price)


def _prices(line: Ints, level: StepTable, lines: int, ranks: int) -> Ints:
    """Time goes by the longest rank: a key of one of them costs its part of the mean. Joules add up over ranks."""
    price = np.zeros((lines + 1, c.PRICE_COLUMNS), np.int64)
    price[:, c.P_PAIR : c.P_PAIR + 3] = line[:, c.PAIR : c.PAIR + 3]
    price[:, c.P_CONTEXT : c.P_CONTEXT + 3] = line[:, c.CONTEXT : c.CONTEXT + 3]
    price[:lines] //= ranks
    price[:, c.P_FIXED] = _with_joules(level.mixed, level.joule_mixed, lines)[:, 1]
    price[:, c.P_SHARED] = _with_joules(level.shared_mixed, level.joule_shared_mixed, lines)[:, 1]
    return price


def _tables(level: StepTable, lines: int) -> list[Ints]:
    """Tables in the order of the columns DECODE … SHARED_M, each (lines + 1, wide) with joules in the last row."""
    return [
        _with_joules(level.decode, level.joule_decode, lines),
        _with_joules(level.mixed, level.joule_mixed, lines),
        _with_joules(level.seqs, level.joule_seqs, lines),
        _with_joules(level.shared_decode, level.joule_shared_decode, lines),
        _with_joules(level.shared_mixed, level.joule_shared_mixed, lines),
    ]


def _with_joules(table: Ints, joules: Ints, lines: int) -> Ints:
    """Lines of zeros never lead: costs are not negative."""
    whole = np.zeros((lines + 1, table.shape[1]), np.int64)
    whole[: table.shape[0]] = table
    whole[lines] = joules
    return whole


def _numbers(m: WorkerModel, level: StepTable) -> list[int]:
    if m.max_seqs > m.token_budget:
        raise UnsupportedError(f"{m.name}: {m.max_seqs} sequences exceed the token budget of {m.token_budget}")
    if m.tokens_per_step < 1.0:
        raise InputError(f"{m.name}: tokens_per_step is {m.tokens_per_step}, at least 1 is possible")
    return [
        m.max_seqs, m.token_budget, m.kv_blocks, m.block_tokens, int(m.reserve_output), int(m.prefill_alone),
        int(m.chunked_prefill), m.receive_interval, m.ranks, int(m.tokens_per_step > 1.0), *m.limits,
        int(m.prefix_cache), 1, m.transfer_latency_ticks, m.transfer_ticks_per_token, level.mixed.shape[1],
        level.shared_mixed.shape[1], len(m.tiers), len(m.levels), int(m.plans_ahead),
    ]  # fmt: skip


def pack_services(cell: Cell) -> Ints:
    service = np.zeros((len(cell.services), c.SERVICE_COLUMNS), np.int64)
    pools = 0
    for s, plan in enumerate(cell.services):
        service[s, c.POOL_A], service[s, c.POOL_B] = pools, pools + 1 if plan.decode else -1
        pools += 2 if plan.decode else 1
        service[s, c.MAX_WAITING] = plan.max_waiting
        service[s, c.SLO_TTFT : c.SLO_E2E + 1] = plan.slo_ttft_ticks, plan.slo_tpot_ticks, plan.slo_e2e_ticks
        decode = [cell.models[cell.workers[w]] for w in plan.decode]
        if decode:
            smallest = min(decode, key=lambda m: m.kv_blocks * m.block_tokens)
            service[s, c.SMALLEST], service[s, c.SMALLEST_BLOCK] = smallest.kv_blocks, smallest.block_tokens
    return service


def pools_of(plan: ServicePlan) -> list[tuple[int, ...]]:
    """The pools of a service: one, or prefill and decode."""
    if bool(plan.prefill) != bool(plan.decode) or bool(plan.workers) == bool(plan.prefill):
        raise InputError(f"service {plan.name}: give either workers, or prefill and decode workers")
    return [plan.prefill, plan.decode] if plan.prefill else [plan.workers]


def pack_pools(cell: Cell) -> Pools:
    rows: list[list[int]] = []
    member: list[int] = []
    trees = [np.zeros(0, np.int64)]
    leaf = 0
    for plan in cell.services:
        for workers in pools_of(plan):
            tree = tournament.tree_for(len(workers))
            tournament.rebuild(tree, np.zeros(len(workers), np.int64))
            rows.append([len(member), len(workers), 0, leaf, leaf + len(tree), plan.policy, plan.kv_weight_256, -1, -1])
            trees.append(tree)
            member.extend(workers)
            leaf += len(tree)
    if len(set(member)) != len(member):
        raise InputError("a worker can belong to one pool of one service only")
    block = np.array([cell.models[cell.workers[w]].block_tokens for w in member], np.int64)
    return Pools(
        np.array(rows, np.int64),
        np.array(member, np.int64),
        block,
        np.zeros(len(member), np.int64),
        np.concatenate(trees),
    )


def pack_workers(cell: Cell, tables: Tables, pools: Pools) -> Ints:
    worker = np.zeros((len(cell.workers), c.WORKER_COLUMNS), np.int64)
    ranks = np.array([cell.models[m].ranks for m in cell.workers], np.int64)
    worker[:, c.VARIANT] = tables.first[list(cell.workers)]
    worker[:, c.RANK_COUNT] = ranks
    worker[:, c.FIRST_RANK] = np.cumsum(ranks) - ranks
    worker[:, c.TAKEN] = 1
    worker[:, c.OFF_SINCE] = -1
    worker[:, c.SERVICE_OF] = worker[:, c.POOL_OF] = -1
    pool = 0
    for s, plan in enumerate(cell.services):
        for workers in pools_of(plan):
            for place, w in enumerate(workers):
                worker[w, c.SERVICE_OF], worker[w, c.POOL_OF], worker[w, c.PLACE] = s, pool, place
            pool += 1
    return worker
