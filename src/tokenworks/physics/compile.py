"""Compiles a deployment into a WorkerModel: the operators of `step`, summed into integer tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import UnsupportedError
from tokenworks.physics.clocks import levels_from
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import kv_blocks
from tokenworks.physics.operators import Array
from tokenworks.physics.power import PowerLaw, Work, capped, interpolated, nothing, rate, scaled, total
from tokenworks.physics.step import Machine, core, launching_s, local_costs, sequence_costs, shared_costs
from tokenworks.physics.terms import Effects, Terms, resolve
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
    of the catalogue from its own down where a power cap may need them.

    Raises CapacityError when the weights do not fit, UnsupportedError for an impossible combination.
    """
    most = deployment.token_budget + deployment.max_seqs
    if most > MOST_TOKENS:
        raise UnsupportedError(
            f"{deployment.model}: a step of up to {most:,} tokens (token_budget {deployment.token_budget:,}, max_seqs "
            f"{deployment.max_seqs:,}) is more than a step table holds, {MOST_TOKENS:,}"
        )
    full = resolve(deployment, effects) if terms is None else terms
    machine = Machine.of(deployment, terms=full)
    attention = machine.part.attention
    per_token = machine.part.kv_bytes_per_token
    return WorkerModel(
        name=name or f"{deployment.model} on {deployment.gpus} x {deployment.accelerator}",
        gpus=deployment.gpus,
        levels=tuple(step_table(slowed, share) for slowed, share in clock_levels(deployment, full, all_clocks)),
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
        transfer_ticks_per_token=max(1, round(per_token / transfer_bytes_s(machine) * TICKS_PER_S)),
        transfer_latency_ticks=round(machine.terms.step_s * TICKS_PER_S),
        tokens_per_step=deployment.tokens_per_step,
    )


def transfer_bytes_s(machine: Machine) -> float:
    """Bandwidth of one GPU between prefill and decode workers."""
    return machine.deployment.transfer_gb_s * 1e9 or machine.chip.far_bytes_s


def near_transfer_bytes_s(machine: Machine) -> float:
    """The same where all of them stand in one scale-up domain (`physics.pools.side_by_side`)."""
    return machine.deployment.transfer_gb_s * 1e9 or max(machine.chip.link_bytes_s, machine.chip.far_bytes_s)


def clock_levels(deployment: Deployment, terms: Terms, every: bool) -> list[tuple[Machine, float]]:
    """The deployment's machine at its own clock and, with ``every``, at the levels below it, with their shares of the boost
    clock. terms: at full clock."""
    found = levels_from(deployment.clock)
    clocks = [level.clock for level in (found if every else found[:1])]
    return [(Machine.of(replace(deployment, clock=clock), terms=terms), clock) for clock in clocks]


def step_table(machine: Machine, clock_share: float) -> StepTable:
    """Tables of all lines at one clock. Lines: device and host in turn; host alone; board power limit."""
    deployment, terms = machine.deployment, machine.terms
    queries = 1 + deployment.draft_tokens
    seqs = np.arange(deployment.max_seqs + 1, dtype=float)
    tokens = grid(deployment.token_budget + deployment.max_seqs)
    every = np.arange(deployment.token_budget + deployment.max_seqs + 1, dtype=float)

    law = PowerLaw(terms, machine.chip.tdp_w)
    decode, heads = decode_work(machine, law, seqs), heads_work(machine, law, seqs)
    mixed = interpolated(mixed_work(machine, law, tokens), tokens, every)
    host_decode, host_mixed, host_seqs = host_of_decode(terms, seqs), host_of_mixed(terms, every), terms.seq_s * seqs
    eager_mixed = host_mixed + np.where(every > 0, launching_s(machine), 0.0)

    shared_n, shared_b = _shared(machine, law, queries), _shared_mixed(machine, law)
    cores = core(machine)
    pair, key = rate(cores.pair, law), rate(cores.key, law)
    gpus_of_rank = deployment.tp * deployment.pp
    host = deployment.async_scheduling

    def joules(of: Work, gpus: int = gpus_of_rank) -> IntArray:
        return integers(law.joules(of.dynamic_s, gpus) * FINE_PER_J)

    return StepTable(
        decode=_lines(decode, host_decode, law, host),
        mixed=_lines(mixed, host_mixed, law, host, eager_mixed),
        seqs=_lines(heads, host_seqs, law, host),
        pair=_lines(pair, 0.0, law, host),
        context=_lines(key, 0.0, law, host),
        shared_decode=_lines(shared_n, 0.0, law, host),
        shared_mixed=_lines(shared_b, 0.0, law, host),
        joule_decode=joules(decode),
        joule_mixed=joules(mixed),
        joule_seqs=joules(heads),
        joule_pair=joules(pair),
        joule_context=joules(key),
        joule_shared_decode=joules(shared_n, deployment.gpus),
        joule_shared_mixed=joules(shared_b, deployment.gpus),
        active_w=terms.power_base * machine.chip.tdp_w * deployment.gpus,
        clock_ghz=float(machine.chip.entry["boost_clock_ghz"]) * clock_share,
    )


def decode_work(machine: Machine, law: PowerLaw, seqs: Array) -> Work:
    """Of pure decode steps by their sequences, without attention over the keys."""
    deployment = machine.deployment
    queries = 1 + deployment.draft_tokens
    padded = graph_padded(seqs, deployment.cuda_graph_max_seqs)
    once = total(local_costs(machine, padded * queries), seqs, law)
    once = once + total(sequence_costs(machine, seqs * queries), seqs, law)
    return decoding(machine, law, once, seqs)


def decoding(machine: Machine, law: PowerLaw, once: Work, seqs: Array) -> Work:
    """Pure decode steps from what their operators do: with drafting, and with sampling."""
    drafted = scaled(once, 1.0 + machine.deployment.draft_tokens / machine.part.layers)
    return _sampling(machine, law, drafted, seqs, host_of_decode(machine.terms, seqs))


def mixed_work(machine: Machine, law: PowerLaw, tokens: Array) -> Work:
    """Of steps with prompts by their tokens, without attention and what is sampled."""
    return mixing(machine, law, total(local_costs(machine, tokens), tokens, law), tokens)


def mixing(machine: Machine, law: PowerLaw, once: Work, tokens: Array) -> Work:
    """Steps with prompts from what their operators do: at most TDP."""
    spare = 0.0 if machine.deployment.async_scheduling else host_of_mixed(machine.terms, tokens)
    return capped(once, spare, law)


def heads_work(machine: Machine, law: PowerLaw, seqs: Array) -> Work:
    """Of what is sampled in a step with prompts."""
    once = total(sequence_costs(machine, seqs * (1 + machine.deployment.draft_tokens)), seqs, law)
    return sampling(machine, law, once, seqs)


def sampling(machine: Machine, law: PowerLaw, once: Work, seqs: Array) -> Work:
    """What is sampled in a step with prompts, from what its operators do."""
    return _sampling(machine, law, once, seqs, machine.terms.seq_s * seqs)


def shared_work(machine: Machine, law: PowerLaw, tokens: Array) -> Work:
    """Of what sees the tokens of all attention-DP ranks."""
    return capped(total(shared_costs(machine, tokens), tokens, law), 0.0, law)


def _sampling(machine: Machine, law: PowerLaw, of: Work, seqs: Array, host_s: Array) -> Work:
    """With the energy of sampling, in the host's time where the device waits for it, else beside the device."""
    sampled = Work(np.zeros_like(seqs), law.sampling_s(seqs))
    if machine.deployment.async_scheduling:
        return capped(of, 0.0, law) + sampled
    return capped(of + sampled, host_s, law)


def host_of_decode(terms: Terms, seqs: Array) -> Array:
    return np.where(seqs > 0, terms.step_s + terms.seq_s * seqs, 0.0)


def host_of_mixed(terms: Terms, tokens: Array) -> Array:
    return np.where(tokens > 0, terms.step_s + terms.prompt_s, 0.0)


def _lines(
    of: Work, host_s: Array | float, law: PowerLaw, asynchronous: bool, alone_s: Array | None = None
) -> IntArray:
    """Device and host in turn; the host alone (``alone_s`` where it also launches what the device runs); power."""
    first = of.seconds if asynchronous else of.seconds + host_s
    host = np.zeros_like(of.seconds) + (host_s if alone_s is None else alone_s)
    return integers(np.stack([first, host, law.limit_s(of.dynamic_s)]) * FINE_PER_S)


def _shared(machine: Machine, law: PowerLaw, queries: int) -> Work:
    ranks, most = machine.deployment.dp, machine.deployment.max_seqs
    if ranks == 1:
        return nothing(most + 1)
    seqs = np.arange(ranks * most + 1, dtype=float)
    return shared_work(machine, law, seqs * queries)


def _shared_mixed(machine: Machine, law: PowerLaw) -> Work:
    deployment = machine.deployment
    most = deployment.dp * (deployment.token_budget + deployment.max_seqs)
    if deployment.dp == 1:
        return nothing(most + 1)
    tokens = grid(most)
    return interpolated(shared_work(machine, law, tokens), tokens, np.arange(most + 1, dtype=float))


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
