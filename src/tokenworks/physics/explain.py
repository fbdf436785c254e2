"""One point explained: operators of a prefill and a decode step, memory map, sensitivity to hardware facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import MemoryMap, kv_blocks, memory_map
from tokenworks.physics.operators import Array, Chip, Cost
from tokenworks.physics.power import PowerLaw, work
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
    for fact in _FACTS:
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
}


def _changed(machine: Machine, fact: str, factor: float) -> Machine:
    if fact == "tensor peak":
        terms = machine.terms
        shares = {k: getattr(terms, k) * factor for k in ("flop_dense", "flop_experts", "flop_attention")}
        return replace(machine, terms=replace(terms, **shares))
    chip: Chip = replace(machine.chip, **{fact: getattr(machine.chip, fact) * factor})
    return replace(machine, chip=chip)


def _one(value: float) -> Array:
    return np.array([float(value)])


def _prefill(machine: Machine, tokens: int) -> Step:
    pairs = tokens * (tokens + 1) / 2
    limits = machine.part.attention.limits
    by_class = [pairs, *(_limited(tokens, limit) for limit in limits)]
    attention = _attention(core(machine).pair, by_class)
    costs = {**local_costs(machine, _one(tokens)), **sequence_costs(machine, _one(1))}
    ranks = machine.deployment.dp
    host = machine.terms.step_s + machine.terms.prompt_s
    return _step(
        machine,
        "prefill",
        tokens,
        costs,
        shared_costs(machine, _one(tokens * ranks)),
        attention,
        host,
        1,
    )


def _limited(tokens: int, limit: int) -> float:
    below = min(tokens, limit)
    return below * (below + 1) / 2 + max(0, tokens - limit) * limit if limit else 0.0


def _decode(machine: Machine, batch: int, context: int) -> Step:
    limits = machine.part.attention.limits
    keys = [batch * context, *(batch * min(context, limit) for limit in limits)]
    attention = _attention(core(machine).key, keys)
    queries = 1 + machine.deployment.draft_tokens
    costs = {**local_costs(machine, _one(batch * queries)), **sequence_costs(machine, _one(batch * queries))}
    host = machine.terms.step_s + machine.terms.seq_s * batch
    shared = shared_costs(machine, _one(batch * queries * machine.deployment.dp))
    return _step(machine, "decode", batch, costs, shared, attention, host, batch)


def _attention(rate: Cost, counts: Sequence[float]) -> Cost:
    """The cost of all context classes, from rates and counts of pairs or keys; bound as most of the time is."""
    many = np.array(counts)
    parts = (rate.seconds, rate.flop_s, rate.byte_s, rate.busy_s, rate.seconds * rate.bound_by_compute)
    seconds, flop, byte, busy, computing = (_one(float(many @ part)) for part in parts)
    return Cost(seconds, flop, byte, 2.0 * computing > seconds, busy)


def _step(
    machine: Machine,
    title: str,
    tokens: int,
    local: dict[str, Cost],
    shared: dict[str, Cost],
    attention: Cost,
    host_s: float,
    sampled: int,
) -> Step:
    gpus, law = machine.deployment.gpus, PowerLaw(machine.terms, machine.chip.tdp_w)
    costs = {**local, **shared, "attention core": attention}
    operators = [_operator(law, name, cost, gpus) for name, cost in costs.items()]
    sampling = law.joules(law.sampling_s(_one(sampled)), gpus)[0]
    operators.append(Operator("host", host_s, float(sampling), "overhead"))
    total = sum(o.seconds for o in operators)
    dynamic = sum(o.joules for o in operators)
    most = float(law.joules(law.most_s(_one(total)), gpus)[0])
    share = min(1.0, most / dynamic) if dynamic else 1.0
    static = machine.terms.power_base * machine.chip.tdp_w * gpus * total
    ordered = tuple(replace(o, joules=o.joules * share) for o in sorted(operators, key=lambda o: -o.seconds))
    return Step(title, tokens, total, dynamic * share + static, ordered, share < 1.0)


def _operator(law: PowerLaw, name: str, cost: Cost, gpus: int) -> Operator:
    if name in ("all-reduce", "dispatch and combine"):
        bound = "network"
    elif name == "kernel launches":
        bound = "overhead"
    else:
        bound = "compute" if cost.bound_by_compute[0] else "memory"
    found = work(cost, law)
    return Operator(name, float(found.seconds[0]), float(law.joules(found.dynamic_s, gpus)[0]), bound)
