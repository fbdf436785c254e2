"""Seconds and energy of engine steps for arrays of batches: the entries of a StepTable before they are integers.

The operators are those of `physics.step`, which `estimate` explains one by one. Each is called once for all steps of a
machine, those with prompts and those without: a call costs what numpy's calls cost, whatever the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.compile import (
    decoding,
    graph_padded,
    mixing,
    near_transfer_bytes_s,
    sampling,
    transfer_bytes_s,
)
from tokenworks.physics.operators import Array
from tokenworks.physics.power import PowerLaw, Work, capped, nothing, rate, total
from tokenworks.physics.step import Machine, core, launching_s, local_costs, sequence_costs, shared_costs


@dataclass(frozen=True)
class Asked:
    """Arguments of the tables, one entry a step; a rank's unless said otherwise."""

    sequences: Array  # of pure decode steps
    tokens: Array  # of steps with prompts: all of the fullest rank
    sampled: Array  # … sequences that sample a token
    tokens_of_all: Array  # … tokens of all ranks


@dataclass(frozen=True)
class Tables:
    """What the tables of a machine hold for these arguments, and its rates and constants. Local work is one rank's."""

    decode: Work
    mixed: Work  # with what is sampled
    shared_decode: Work
    shared_mixed: Work
    pair: Work  # (3,) by context class
    key: Work
    constants: Array  # (CONSTANTS,)


STEP_S, SEQ_S, PROMPT_S, LAUNCH_S, WAITS, BASE, WATTS_OF_RANK, WATTS, INGRESS_S, MOVE_S, NEAR_S, CONSTANTS = range(12)


def tables(machine: Machine, asked: Asked) -> Tables:
    """All step tables at the arguments asked for; for batches of whole sequences and tokens equal to
    ``compile_worker``'s within the rounding of its integers and its grid of tokens."""
    deployment, law = machine.deployment, PowerLaw(machine.terms, machine.chip.tdp_w)
    queries, count = 1 + deployment.draft_tokens, len(asked.sequences)
    padded = graph_padded(asked.sequences, deployment.cuda_graph_max_seqs)
    both = np.concatenate([padded * queries, asked.tokens])
    local = total(local_costs(machine, both), both, law)
    both = np.concatenate([asked.sequences, asked.sampled]) * queries
    heads = total(sequence_costs(machine, both), both, law)
    cores, first, second = core(machine), slice(None, count), slice(count, None)
    shared = _shared(machine, law, np.concatenate([asked.sequences * (queries * deployment.dp), asked.tokens_of_all]))
    prompts = mixing(machine, law, _cut(local, second), asked.tokens)
    return Tables(
        decode=decoding(machine, law, _cut(local, first) + _cut(heads, first), asked.sequences),
        mixed=prompts + sampling(machine, law, _cut(heads, second), asked.sampled),
        shared_decode=_cut(shared, first),
        shared_mixed=_cut(shared, second),
        pair=rate(cores.pair, law),
        key=rate(cores.key, law),
        constants=constants(machine),
    )


def constants(machine: Machine) -> Array:
    """What steps of a machine need beside tables, by the names above. WATTS: energy in seconds over TDP to joules."""
    deployment, terms, tdp_w = machine.deployment, machine.terms, machine.chip.tdp_w
    found = np.zeros(CONSTANTS)
    found[STEP_S], found[SEQ_S], found[PROMPT_S] = terms.step_s, terms.seq_s, terms.prompt_s
    found[LAUNCH_S], found[WAITS] = launching_s(machine), not deployment.async_scheduling
    found[BASE], found[INGRESS_S] = terms.power_base, terms.ingress_s
    found[WATTS_OF_RANK], found[WATTS] = tdp_w * deployment.tp * deployment.pp, tdp_w * deployment.gpus
    found[MOVE_S] = machine.part.kv_bytes_per_token / transfer_bytes_s(machine)
    found[NEAR_S] = machine.part.kv_bytes_per_token / near_transfer_bytes_s(machine)
    return found


def _shared(machine: Machine, law: PowerLaw, tokens: Array) -> Work:
    if machine.deployment.dp == 1:
        return nothing(len(tokens))
    return capped(total(shared_costs(machine, tokens), tokens, law), 0.0, law)


def _cut(work: Work, part: slice) -> Work:
    return Work(work.seconds[part], work.dynamic_s[part])
