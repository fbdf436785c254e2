"""Compiles a deployment into a WorkerModel: the operators of `step`, summed into integer tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.errors import UnsupportedError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import kv_blocks
from tokenworks.physics.operators import Array, Cost
from tokenworks.physics.step import Machine, core, launching_s, local_costs, sequence_costs, shared_costs
from tokenworks.physics.terms import Effects, Terms
from tokenworks.physics.worker_model import (
    FINE,
    MICROJOULES_PER_J,
    TICKS_PER_S,
    IntArray,
    KvTier,
    StepTable,
    WorkerModel,
)

FINE_PER_S = float(TICKS_PER_S * FINE)
FINE_PER_J = float(MICROJOULES_PER_J * FINE)
MOST_TOKENS = 2**22  # of one step: the tables hold one entry a token
EXACT = 512  # token counts up to here are computed one by one; larger ones on a grid, linear between


def compile_worker(
    deployment: Deployment,
    effects: Effects | None = None,
    terms: Terms | None = None,
    name: str = "",
    all_clocks: bool = False,
) -> WorkerModel:
    """The WorkerModel of a deployment, under shipped effects, given effects, or given terms; with all clock levels
    of the catalogue where a power cap may need them.

    Raises CapacityError when the weights do not fit, UnsupportedError for an impossible combination.
    """
    most = deployment.token_budget + deployment.max_seqs
    if most > MOST_TOKENS:
        raise UnsupportedError(
            f"{deployment.model}: a step of up to {most:,} tokens (token_budget {deployment.token_budget:,}, max_seqs "
            f"{deployment.max_seqs:,}) is more than a step table holds, {MOST_TOKENS:,}"
        )
    machine = Machine.of(deployment, effects, terms)
    attention = machine.part.attention
    per_token = machine.part.kv_bytes_per_token
    return WorkerModel(
        name=name or f"{deployment.model} on {deployment.gpus} x {deployment.accelerator}",
        gpus=deployment.gpus,
        levels=tuple(step_table(slowed, share) for slowed, share in clock_levels(machine, all_clocks)),
        limits=attention.limits,
        ranks=deployment.dp,
        max_seqs=deployment.max_seqs,
        token_budget=deployment.token_budget,
        kv_blocks=kv_blocks(machine),
        block_tokens=deployment.block_tokens,
        reserve_output=deployment.reserve_output,
        prefill_alone=deployment.prefill_alone,
        chunked_prefill=deployment.chunked_prefill,
        receive_interval=deployment.receive_interval,
        plans_ahead=deployment.plans_ahead,
        prefix_cache=deployment.prefix_cache,
        tiers=_tiers(machine),
        idle_w=machine.chip.idle_w * deployment.gpus,
        load_s=machine.part.weight_bytes / machine.chip.far_bytes_s,
        kv_bytes_per_token=per_token,
        transfer_ticks_per_token=max(1, round(per_token / machine.chip.far_bytes_s * TICKS_PER_S)),
        transfer_latency_ticks=round(machine.terms.step_s * TICKS_PER_S),
        tokens_per_step=deployment.tokens_per_step,
    )


def clock_levels(machine: Machine, every: bool) -> list[tuple[Machine, float]]:
    """The machine at each clock level, fastest first: tensor throughput follows the clock, tensor energy the square
    of the voltage, the base power partly both; memory keeps its own clock."""
    entry = catalog.load("clocks", "default")
    floor, levels = float(entry["static_floor"]), []
    for clock, voltage in zip(entry["clock_share"], entry["voltage_share"], strict=True):
        t = machine.terms
        slower = replace(
            t,
            flop_dense=t.flop_dense * clock,
            flop_experts=t.flop_experts * clock,
            flop_attention=t.flop_attention * clock,
            power_flop=t.power_flop * voltage**2,
            power_base=t.power_base * (floor + (1 - floor) * clock * voltage**2),
        )
        levels.append((replace(machine, terms=slower), float(clock)))
        if not every:
            break
    return levels


def step_table(machine: Machine, clock_share: float) -> StepTable:
    """Tables of all lines at one clock. Lines: device and host in turn; host alone; board power limit."""
    deployment, terms = machine.deployment, machine.terms
    queries = 1 + deployment.draft_tokens
    seqs = np.arange(deployment.max_seqs + 1, dtype=float)
    tokens = grid(deployment.token_budget + deployment.max_seqs)
    every = np.arange(deployment.token_budget + deployment.max_seqs + 1, dtype=float)
    padded = graph_padded(seqs, deployment.cuda_graph_max_seqs)

    heads = total(sequence_costs(machine, seqs * queries), seqs)
    decode = total(local_costs(machine, padded * queries), seqs) + heads
    decode = scaled(decode, 1.0 + deployment.draft_tokens / machine.part.layers)
    mixed = interpolated(total(local_costs(machine, tokens), tokens), tokens, every)
    host_decode = np.where(seqs > 0, terms.step_s + terms.seq_s * seqs, 0.0)
    host_mixed = np.where(every > 0, terms.step_s + terms.prompt_s, 0.0)
    host_seqs = terms.seq_s * seqs
    eager_mixed = host_mixed + np.where(every > 0, launching_s(machine), 0.0)

    shared_n, shared_b = _shared(machine, deployment.max_seqs, queries), _shared_mixed(machine)
    cores = core(machine)
    power = _PowerLine(machine)
    gpus_of_rank = deployment.tp * deployment.pp
    host = deployment.async_scheduling
    return StepTable(
        decode=_lines(decode, host_decode, power, terms.speed, host),
        mixed=_lines(mixed, host_mixed, power, terms.speed, host, eager_mixed),
        seqs=_lines(heads, host_seqs, power, terms.speed, host),
        pair=_rates(cores.pair_s, power.of(cores.pair_flop_s, (0.0,) * 3), terms.speed),
        context=_rates(cores.key_s, power.of(cores.key_flop_s, cores.key_byte_s), terms.speed),
        shared_decode=_lines(shared_n, np.zeros_like(shared_n.seconds), power, terms.speed, host),
        shared_mixed=_lines(shared_b, np.zeros_like(shared_b.seconds), power, terms.speed, host),
        joule_decode=power.joules(decode, gpus_of_rank),
        joule_mixed=power.joules(mixed, gpus_of_rank),
        joule_seqs=power.joules(heads, gpus_of_rank),
        joule_pair=power.joule_rates(cores.pair_flop_s, (0.0,) * 3, gpus_of_rank),
        joule_context=power.joule_rates(cores.key_flop_s, cores.key_byte_s, gpus_of_rank),
        joule_shared_decode=power.joules(shared_n, deployment.gpus),
        joule_shared_mixed=power.joules(shared_b, deployment.gpus),
        active_w=terms.power_base * machine.chip.tdp_w * deployment.gpus,
        clock_ghz=float(machine.chip.entry["boost_clock_ghz"]) * clock_share,
    )


class _PowerLine:
    """Board power = TDP·(base + memory·u_mem + flop·u_flop) and its ceiling at TDP, which stretches a step."""

    def __init__(self, machine: Machine):
        self.terms, self.tdp_w = machine.terms, machine.chip.tdp_w

    def dynamic_s(self, flop_s: Array, byte_s: Array) -> Array:
        """Dynamic energy over TDP: seconds."""
        return self.terms.power_flop * flop_s + self.terms.power_memory * byte_s

    def limit_s(self, flop_s: Array, byte_s: Array) -> Array:
        """The shortest time in which the dynamic energy may be drawn."""
        return self.dynamic_s(flop_s, byte_s) / (1.0 - self.terms.power_base)

    def of(self, flop_s: Iterable[float], byte_s: Iterable[float]) -> Array:
        return self.limit_s(np.array(list(flop_s)), np.array(list(byte_s)))

    def joules(self, cost: Cost, gpus: int) -> IntArray:
        return integers(self.dynamic_s(cost.flop_s, cost.byte_s) * self.tdp_w * gpus * FINE_PER_J)

    def joule_rates(self, flop_s: Iterable[float], byte_s: Iterable[float], gpus: int) -> IntArray:
        dynamic = self.dynamic_s(np.array(list(flop_s)), np.array(list(byte_s)))
        return integers(dynamic * self.tdp_w * gpus * FINE_PER_J)


def _lines(
    cost: Cost, host_s: Array, power: _PowerLine, speed: float, asynchronous: bool, alone_s: Array | None = None
) -> IntArray:
    """Device and host in turn; the host alone (``alone_s`` where it also launches what the device runs); power."""
    device = cost.seconds / speed
    first = device if asynchronous else device + host_s
    limit = power.limit_s(cost.flop_s, cost.byte_s)
    return integers(np.stack([first, host_s if alone_s is None else alone_s, limit]) * FINE_PER_S)


def _rates(seconds: Iterable[float], limit: Array, speed: float) -> IntArray:
    device = np.array(list(seconds)) / speed
    return integers(np.stack([device, np.zeros(3), limit]) * FINE_PER_S)


def _shared(machine: Machine, most: int, queries: int) -> Cost:
    ranks = machine.deployment.dp
    if ranks == 1:
        return _nothing(most)
    seqs = np.arange(ranks * most + 1, dtype=float)
    return total(shared_costs(machine, seqs * queries), seqs)


def _shared_mixed(machine: Machine) -> Cost:
    deployment = machine.deployment
    most = deployment.dp * (deployment.token_budget + deployment.max_seqs)
    if deployment.dp == 1:
        return _nothing(most)
    tokens = grid(most)
    return interpolated(total(shared_costs(machine, tokens), tokens), tokens, np.arange(most + 1, dtype=float))


def _nothing(most: int) -> Cost:
    zero = np.zeros(most + 1)
    return Cost(zero, zero, zero, np.zeros(most + 1, dtype=bool))


def grid(most: int) -> Array:
    """0 … EXACT one by one, then steps of 3% in multiples of 64, and the last."""
    if most <= EXACT:
        return np.arange(most + 1, dtype=float)
    count = int(np.ceil(np.log(most / EXACT) / np.log(1.03))) + 1
    coarse = np.ceil(EXACT * 1.03 ** np.arange(1, count) / 64) * 64
    inside = np.unique(coarse[coarse < most])
    return np.concatenate([np.arange(EXACT + 1, dtype=float), inside[inside > EXACT], [float(most)]])


def graph_padded(seqs: Array, largest: int) -> Array:
    """Batch sizes as CUDA graphs run them: 1, 2, 4, then multiples of 8 up to the largest captured."""
    padded = np.where(seqs <= 2, seqs, np.where(seqs <= 4, 4, np.ceil(seqs / 8) * 8))
    return np.where(seqs <= largest, np.minimum(padded, max(largest, 1)), seqs)


def total(costs: dict[str, Cost], like: Array) -> Cost:
    """All operators one after the other; bound by what takes most of the time."""
    parts = list(costs.values())
    if not parts:
        return _nothing(len(like) - 1)
    seconds, flop, byte = (sum(getattr(p, name) for p in parts) for name in ("seconds", "flop_s", "byte_s"))
    compute = sum(np.where(p.bound_by_compute, p.seconds, 0.0) for p in parts)
    return Cost(seconds, flop, byte, 2.0 * compute > seconds)


def scaled(cost: Cost, factor: float) -> Cost:
    return Cost(cost.seconds * factor, cost.flop_s * factor, cost.byte_s * factor, cost.bound_by_compute)


def interpolated(cost: Cost, at: Array, every: Array) -> Cost:
    """Linear between grid points; exact on them."""
    if len(at) == len(every):
        return cost
    seconds, flop, byte = (np.interp(every, at, a) for a in (cost.seconds, cost.flop_s, cost.byte_s))
    index = np.minimum(np.searchsorted(at, every), len(at) - 1)
    bound: NDArray[np.bool_] = cost.bound_by_compute[index]
    return Cost(seconds, flop, byte, bound)


def integers(values: Array) -> IntArray:
    """Raises UnsupportedError for what int64 does not hold: a step of 88 seconds, or of 8.8 megajoules."""
    if not (np.abs(values) < 2.0**63).all():
        raise UnsupportedError("one step would take more than 88 seconds; lower the tokens of a step")
    return np.rint(values).astype(np.int64)


def _tiers(machine: Machine) -> tuple[KvTier, ...]:
    deployment = machine.deployment
    block_bytes = machine.part.kv_bytes_per_token * deployment.block_tokens * deployment.gpus
    return tuple(
        KvTier(
            tier.name,
            int(tier.capacity_gb * 1e9 / block_bytes) // deployment.dp,
            max(1, round(block_bytes / (tier.bandwidth_gb_s * 1e9) * TICKS_PER_S)),
        )
        for tier in deployment.tiers
    )
