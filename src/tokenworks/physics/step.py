"""Where the time and energy of one engine step go, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tokenworks.physics.clocks import levels_from, slowed
from tokenworks.physics.curves import decode_curve, prefill_share, streamed_share
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.lora import applied, further_bytes
from tokenworks.physics.operators import (
    Array,
    Chip,
    Cost,
    gemms,
    local_collectives,
    roofline,
    routed,
    shared_collectives,
)
from tokenworks.physics.overlap import halved, hidden, unused
from tokenworks.physics.pipeline import cycle, cycles, idle_factor, in_flight
from tokenworks.physics.precision import bytes_per_kv
from tokenworks.physics.shard import Shard, shard
from tokenworks.physics.terms import Effects, Terms, resolve


@dataclass(frozen=True)
class Machine:
    """A deployment with everything that its step costs depend on; the terms are those at its clock."""

    deployment: Deployment
    chip: Chip
    terms: Terms
    part: Shard

    @classmethod
    def of(cls, deployment: Deployment, effects: Effects | None = None, terms: Terms | None = None) -> Machine:
        """Under shipped effects, given effects, or given terms at full clock."""
        known = resolve(deployment, effects) if terms is None else terms
        if deployment.clock != 1.0:
            known = slowed(known, levels_from(deployment.clock)[0])
        if deployment.pool_speed != 1.0:
            known = replace(known, speed=known.speed * deployment.pool_speed)
        chip = Chip.load(deployment.accelerator)
        if deployment.scale_out_gb_s:
            chip = replace(chip, far_bytes_s=deployment.scale_out_gb_s * 1e9)
        return cls(deployment, chip, known, shard(deployment))


def plain(seconds: Array) -> Cost:
    """A cost without tensor work or memory traffic: latency, network, host."""
    zero = np.zeros_like(seconds)
    return Cost(seconds, zero, zero, np.zeros(seconds.shape, dtype=bool), seconds)


def streamed(machine: Machine, size: Array, share: float | None = None) -> Cost:
    """A cost of memory traffic alone, at a share of the bandwidth (that of norms and activations unless given)."""
    byte_s = size / machine.chip.bandwidth
    seconds = byte_s / (share or machine.terms.mem_dense * streamed_share())
    return Cost(seconds, np.zeros_like(byte_s), byte_s, np.zeros(byte_s.shape, dtype=bool), seconds)


def products(machine: Machine, rows: Array, shared: bool, per_sequence: bool) -> dict[str, Cost]:
    """The dense GEMMs of one kind, by name."""
    chosen = [m for m in machine.part.gemms if m.shared == shared and m.per_sequence == per_sequence]
    if not chosen:
        return {}
    return {m.name: cost for m, cost in zip(chosen, gemms(machine.chip, machine.terms, chosen, rows), strict=True)}


def local_costs(machine: Machine, tokens: Array) -> dict[str, Cost]:
    """Operators that see the tokens of one rank, for arrays of tokens in the step (one pipeline cycle)."""
    if not machine.deployment.two_batch_overlap:
        return _local(machine, tokens)
    split = tokens >= 2
    return hidden(halved(partial(_local, machine), tokens, split), split, machine.part.layers)


def _local(machine: Machine, tokens: Array) -> dict[str, Cost]:
    batches = in_flight(machine.deployment, tokens)
    rows = tokens / batches
    costs = products(machine, rows, shared=False, per_sequence=False)
    if machine.part.experts and machine.deployment.dp == 1:
        costs["experts"] = routed(machine.chip, machine.terms, machine.part.experts, rows)
    if machine.deployment.lora_adapters:
        costs["lora"] = applied(machine.chip, machine.terms, machine.deployment, machine.part, rows, shared=False)
    costs["norms and activations"] = streamed(machine, rows * machine.part.local_bytes)
    seconds = local_collectives(machine.chip, machine.terms, machine.deployment, machine.part, rows)
    costs["all-reduce"] = plain(seconds)
    costs["kernel launches"] = plain(np.where(tokens > 0, machine.terms.kernel_s * machine.part.launches, 0.0))
    return cycles(costs, machine.deployment, batches)


def launching_s(machine: Machine) -> float:
    """Host seconds to launch the kernels of a step with prefill, one by one: CUDA graphs hold pure decode steps only."""
    return machine.terms.eager_s * machine.part.launches if machine.deployment.eager_prefill else 0.0


def shared_costs(machine: Machine, tokens: Array) -> dict[str, Cost]:
    """Operators that see the tokens of all attention-DP ranks."""
    ranks = machine.deployment.dp
    if ranks == 1:
        return {}
    if not machine.deployment.two_batch_overlap:
        return _shared(machine, tokens)
    split = tokens >= 2 * ranks
    alone = unused(halved(partial(_local, machine), tokens / ranks, split))  # of the mean rank: the busiest has no less
    return hidden(halved(partial(_shared, machine), tokens, split), split, machine.part.layers, alone)


def _shared(machine: Machine, tokens: Array) -> dict[str, Cost]:
    batches = in_flight(machine.deployment, tokens)
    rows = tokens / batches
    costs = products(machine, rows, shared=True, per_sequence=False)
    if machine.part.experts:
        costs["experts"] = routed(machine.chip, machine.terms, machine.part.experts, rows)
    if machine.deployment.lora_adapters:
        dense = applied(machine.chip, machine.terms, machine.deployment, machine.part, rows, shared=True)
        costs["lora of feed-forwards"] = dense
    costs["activations"] = streamed(machine, rows * machine.part.shared_bytes)
    seconds = shared_collectives(machine.chip, machine.terms, machine.deployment, machine.part, rows)
    costs["dispatch and combine"] = plain(seconds)
    return cycles(costs, machine.deployment, batches)


def sequence_costs(machine: Machine, sequences: Array) -> dict[str, Cost]:
    """Output head, sampling, linear-mixer states and adapters: per sequence that samples a token."""
    costs = products(machine, sequences, shared=False, per_sequence=True)
    if machine.part.attention.state_bytes:
        share = machine.terms.mem_kv * streamed_share()
        states = streamed(machine, sequences * machine.part.attention.state_bytes, share)
        costs["linear state"] = replace(states, seconds=states.seconds * idle_factor(machine.deployment))
    if machine.deployment.lora_adapters:
        costs["more lora adapters"] = _further_adapters(machine, sequences / (1 + machine.deployment.draft_tokens))
    return costs


def _further_adapters(machine: Machine, sequences: Array) -> Cost:
    """Of every micro-batch, and of both its halves where they overlap."""
    deployment, batches = machine.deployment, in_flight(machine.deployment, sequences)
    halves = 2 if deployment.two_batch_overlap else 1
    more = halves * further_bytes(deployment, machine.part, sequences / batches / halves)
    return cycle(streamed(machine, more), deployment, batches)


@dataclass(frozen=True)
class Core:
    """Attention cores; the arrays of each cost are over context classes."""

    pair: Cost  # of a query–key pair in prefill
    key: Cost  # of a key that a decode sequence reads


def core(machine: Machine) -> Core:
    attention, chip, terms = machine.part.attention, machine.chip, machine.terms
    peak, latent = chip.peak_flop_s("bf16"), attention.latent
    queries = 1 + machine.deployment.draft_tokens
    pair_flop, nothing = np.array(attention.prefill_flop) / peak, np.zeros(len(attention.prefill_flop))
    key_flop = np.array(attention.decode_flop) * queries / peak
    key_byte = np.array(attention.decode_bytes) / chip.bandwidth
    reads = decode_curve(chip.generation, round(bytes_per_kv(machine.deployment.kv) * 8), latent)
    pair = roofline(pair_flop, nothing, terms.flop_attention * prefill_share(chip.generation, latent), terms.mem_kv)
    key = roofline(key_flop, key_byte, terms.flop_attention * reads.compute, terms.mem_kv * reads.memory)
    idle = idle_factor(machine.deployment)
    return Core(replace(pair, seconds=pair.seconds * idle), replace(key, seconds=key.seconds * idle))
