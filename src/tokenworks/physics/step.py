"""Where the time and energy of one engine step go, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.operators import (
    Array,
    Chip,
    Cost,
    gemm,
    local_collectives,
    roofline,
    routed,
    shared_collectives,
)
from tokenworks.physics.precision import peak_flop_s
from tokenworks.physics.shard import Shard, shard
from tokenworks.physics.terms import Effects, Terms, resolve


@dataclass(frozen=True)
class Machine:
    """A deployment with everything that its step costs depend on."""

    deployment: Deployment
    chip: Chip
    terms: Terms
    part: Shard

    @classmethod
    def of(cls, deployment: Deployment, effects: Effects | None = None, terms: Terms | None = None) -> Machine:
        known = resolve(deployment, effects) if terms is None else terms
        return cls(deployment, Chip.load(deployment.accelerator), known, shard(deployment))


def plain(seconds: Array) -> Cost:
    """A cost without tensor work or memory traffic: latency, network, host."""
    zero = np.zeros_like(seconds)
    return Cost(seconds, zero, zero, np.zeros(seconds.shape, dtype=bool))


def times(cost: Cost, factor: float) -> Cost:
    return Cost(cost.seconds * factor, cost.flop_s * factor, cost.byte_s * factor, cost.bound_by_compute)


def local_costs(machine: Machine, tokens: Array) -> dict[str, Cost]:
    """Operators that see the tokens of one rank, for arrays of tokens in the step (one pipeline cycle)."""
    pp = machine.deployment.pp
    rows = tokens / pp
    costs = {
        m.name: times(gemm(machine.chip, machine.terms, m, rows), pp)
        for m in machine.part.gemms
        if not m.shared and not m.per_sequence
    }
    if machine.part.experts and machine.deployment.dp == 1:
        costs["experts"] = times(routed(machine.chip, machine.terms, machine.part.experts, rows), pp)
    seconds = local_collectives(machine.chip, machine.terms, machine.deployment, machine.part, rows)
    costs["all-reduce"] = plain(seconds * pp)
    launch = np.where(tokens > 0, machine.terms.layer_s * machine.part.layers * pp, 0.0)
    costs["layer overhead"] = plain(launch)
    return costs


def shared_costs(machine: Machine, tokens: Array) -> dict[str, Cost]:
    """Operators that see the tokens of all attention-DP ranks."""
    if machine.deployment.dp == 1:
        return {}
    pp = machine.deployment.pp
    rows = tokens / pp
    costs = {m.name: times(gemm(machine.chip, machine.terms, m, rows), pp) for m in machine.part.gemms if m.shared}
    if machine.part.experts:
        costs["experts"] = times(routed(machine.chip, machine.terms, machine.part.experts, rows), pp)
    seconds = shared_collectives(machine.chip, machine.terms, machine.deployment, machine.part, rows)
    costs["dispatch and combine"] = plain(seconds * pp)
    return costs


def sequence_costs(machine: Machine, sequences: Array) -> dict[str, Cost]:
    """Output head, sampling and linear-mixer states: per sequence that samples a token."""
    chip, terms, part = machine.chip, machine.terms, machine.part
    costs = {m.name: gemm(chip, terms, m, sequences) for m in part.gemms if m.per_sequence}
    if part.attention.state_bytes:
        moved = sequences * part.attention.state_bytes / chip.bandwidth
        costs["linear state"] = roofline(np.zeros_like(moved), moved, 1.0, terms.mem_kv)
    return costs


@dataclass(frozen=True)
class Core:
    """Attention cores by context class: seconds, ideal compute and ideal memory seconds per pair or key."""

    pair_s: tuple[float, ...]
    pair_flop_s: tuple[float, ...]
    key_s: tuple[float, ...]
    key_flop_s: tuple[float, ...]
    key_byte_s: tuple[float, ...]


def core(machine: Machine) -> Core:
    attention, chip, terms = machine.part.attention, machine.chip, machine.terms
    peak = peak_flop_s(chip.entry, "bf16")
    queries = 1 + machine.deployment.draft_tokens
    pair_flop = tuple(flop / peak for flop in attention.prefill_flop)
    key_flop = tuple(flop * queries / peak for flop in attention.decode_flop)
    key_byte = tuple(size / chip.bandwidth for size in attention.decode_bytes)
    key = tuple(
        max(flop / terms.flop_attention, byte / terms.mem_kv) for flop, byte in zip(key_flop, key_byte, strict=True)
    )
    return Core(tuple(f / terms.flop_attention for f in pair_flop), pair_flop, key, key_flop, key_byte)
