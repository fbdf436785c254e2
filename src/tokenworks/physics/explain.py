"""One point explained: operators of a prefill and a decode step, memory map, sensitivity to hardware facts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import MemoryMap, kv_blocks, memory_map
from tokenworks.physics.operators import Chip, Cost
from tokenworks.physics.step import Machine, core, local_costs, sequence_costs, shared_costs


@dataclass(frozen=True)
class Operator:
    """Time and dynamic energy of one operator in one step of the replica."""

    name: str
    seconds: float
    joules: float
    bound: str  # compute, memory, network, overhead


@dataclass(frozen=True)
class Step:
    title: str
    tokens: int
    seconds: float
    joules: float  # with static power
    operators: tuple[Operator, ...]
    power_limited: bool


@dataclass(frozen=True)
class Explanation:
    deployment: Deployment
    prefill: Step
    decode: Step
    memory: MemoryMap
    kv_tokens: int
    sensitivity: tuple[tuple[str, float, float], ...]  # (fact, prefill change, decode change) for +10%


def explain(deployment: Deployment, batch: int, context: int, prompt: int) -> Explanation:
    """A decode step of ``batch`` sequences with ``context`` keys each, and a prefill step of one ``prompt``.

    Raises CapacityError when the model does not fit.
    """
    machine = Machine.of(deployment)
    blocks = kv_blocks(machine)
    prefill, decode = _prefill(machine, prompt), _decode(machine, batch, context)
    changes = []
    for fact in ("bandwidth", "tensor peak", "link_bytes_s", "tdp_w"):
        other = _changed(machine, fact, 1.1)
        p, d = _prefill(other, prompt), _decode(other, batch, context)
        changes.append((_FACTS[fact], p.seconds / prefill.seconds - 1, d.seconds / decode.seconds - 1))
    return Explanation(
        deployment, prefill, decode, memory_map(machine), blocks * deployment.block_tokens, tuple(changes)
    )


_FACTS = {
    "bandwidth": "memory bandwidth",
    "tensor peak": "tensor peak",
    "link_bytes_s": "link bandwidth",
    "tdp_w": "power limit",
}


def _changed(machine: Machine, fact: str, factor: float) -> Machine:
    if fact == "tensor peak":
        terms = machine.terms
        shares = {k: getattr(terms, k) * factor for k in ("flop_dense", "flop_experts", "flop_attention")}
        return replace(machine, terms=replace(terms, **shares))
    chip: Chip = replace(machine.chip, **{fact: getattr(machine.chip, fact) * factor})
    return replace(machine, chip=chip)


def _one(value: float) -> np.ndarray:
    return np.array([float(value)])


def _prefill(machine: Machine, tokens: int) -> Step:
    pairs = tokens * (tokens + 1) / 2
    limits = machine.part.attention.limits
    by_class = [pairs, *(_limited(tokens, limit) for limit in limits)]
    rates = core(machine)
    attention = sum(q * s for q, s in zip(by_class, rates.pair_s, strict=True))
    flop = sum(q * s for q, s in zip(by_class, rates.pair_flop_s, strict=True))
    costs = {**local_costs(machine, _one(tokens)), **sequence_costs(machine, _one(1))}
    ranks = machine.deployment.dp
    host = machine.terms.step_s + machine.terms.prompt_s
    return _step(
        machine,
        "prefill",
        tokens,
        costs,
        shared_costs(machine, _one(tokens * ranks)),
        (attention, flop, 0.0),
        host,
    )


def _limited(tokens: int, limit: int) -> float:
    below = min(tokens, limit)
    return below * (below + 1) / 2 + max(0, tokens - limit) * limit if limit else 0.0


def _decode(machine: Machine, batch: int, context: int) -> Step:
    limits = machine.part.attention.limits
    keys = [batch * context, *(batch * min(context, limit) for limit in limits)]
    rates = core(machine)
    parts = [
        sum(k * s for k, s in zip(keys, r, strict=True)) for r in (rates.key_s, rates.key_flop_s, rates.key_byte_s)
    ]
    queries = 1 + machine.deployment.draft_tokens
    costs = {**local_costs(machine, _one(batch * queries)), **sequence_costs(machine, _one(batch * queries))}
    host = machine.terms.step_s + machine.terms.seq_s * batch
    shared = shared_costs(machine, _one(batch * queries * machine.deployment.dp))
    return _step(machine, "decode", batch, costs, shared, (parts[0], parts[1], parts[2]), host)


def _step(
    machine: Machine,
    title: str,
    tokens: int,
    local: dict[str, Cost],
    shared: dict[str, Cost],
    attention: tuple[float, float, float],
    host_s: float,
) -> Step:
    speed, deployment = machine.terms.speed, machine.deployment
    operators = [_operator(machine, name, cost, deployment.gpus) for name, cost in {**local, **shared}.items()]
    seconds, flop, byte = attention
    bound = (
        "compute"
        if title == "prefill" or flop / machine.terms.flop_attention > byte / machine.terms.mem_kv
        else "memory"
    )
    operators.append(Operator("attention core", seconds / speed, _joules(machine, flop, byte), bound))
    operators.append(Operator("host", host_s, 0.0, "overhead"))
    total = sum(o.seconds for o in operators)
    dynamic = sum(o.joules for o in operators)
    limit = dynamic / (machine.chip.tdp_w * deployment.gpus * (1 - machine.terms.power_base))
    seconds = max(total, limit)
    static = machine.terms.power_base * machine.chip.tdp_w * deployment.gpus * seconds
    ordered = tuple(sorted(operators, key=lambda o: -o.seconds))
    return Step(title, tokens, seconds, dynamic + static, ordered, limit > total)


def _joules(machine: Machine, flop_s: float, byte_s: float) -> float:
    watts = machine.chip.tdp_w * machine.deployment.gpus
    return watts * (machine.terms.power_flop * flop_s + machine.terms.power_memory * byte_s)


def _operator(machine: Machine, name: str, cost: Cost, gpus: int) -> Operator:
    del gpus
    flop, byte = float(cost.flop_s[0]), float(cost.byte_s[0])
    if name in ("all-reduce", "dispatch and combine"):
        bound = "network"
    elif name == "kernel launches":
        bound = "overhead"
    else:
        bound = "compute" if cost.bound_by_compute[0] else "memory"
    return Operator(name, float(cost.seconds[0]) / machine.terms.speed, _joules(machine, flop, byte), bound)
