"""Seconds and joules of the steps of a recorded schedule, straight from the operators: what calibration
differentiates. The schedule stays as it is while terms move a little; nothing is compiled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.compile import graph_padded, grid, scaled, total
from tokenworks.physics.operators import Array
from tokenworks.physics.step import Machine, core, launching_s, local_costs, sequence_costs, shared_costs


@dataclass(frozen=True)
class Schedule:
    """Steps and leaps of one rank in order. Every array has one entry per segment, (segments, 3) by context class."""

    steps: Array  # steps of the leap; 0 = idle until an arrival by the clock
    sequences: Array  # decode sequences
    tokens: Array  # all tokens of a step with prefill; 0 = pure decode
    sampled: Array
    pairs: Array
    keys: Array  # mean over the leap
    line: NDArray[np.int64]  # the StepTable line that was the longest


@dataclass(frozen=True)
class Points:
    """The distinct arguments of a schedule's table terms, on the compiler's grid, and where each segment finds its own."""

    decode: tuple[Array, NDArray[np.int64]]
    mixed: tuple[Array, NDArray[np.int64]]
    heads: tuple[Array, NDArray[np.int64]]
    is_mixed: NDArray[np.bool_]

    @classmethod
    def of(cls, schedule: Schedule) -> Points:
        mixed = schedule.tokens > 0
        most = float(max(schedule.tokens.max(initial=0.0), schedule.sequences.max(initial=0.0), 1.0))
        on = grid(int(most))
        near = on[np.minimum(np.searchsorted(on, schedule.tokens), len(on) - 1)]
        return cls(
            _distinct(np.where(mixed, 0.0, schedule.sequences)),
            _distinct(np.where(mixed, near, 0.0)),
            _distinct(schedule.sampled),
            mixed,
        )


def _distinct(values: Array) -> tuple[Array, NDArray[np.int64]]:
    found, where = np.unique(values, return_inverse=True)
    return found, where


def step_costs(machine: Machine, schedule: Schedule, points: Points) -> tuple[Array, Array]:
    """(seconds of one step, dynamic joules of the whole worker in one step) of every segment, on its recorded line."""
    deployment, terms = machine.deployment, machine.terms
    queries, ranks = 1 + deployment.draft_tokens, deployment.dp
    n, at_n = points.decode
    padded = graph_padded(n, deployment.cuda_graph_max_seqs)
    draft = 1.0 + deployment.draft_tokens / machine.part.layers
    o, at_o = points.heads
    heads = total(sequence_costs(machine, o * queries), o)
    b, at_b = points.mixed
    decode = scaled(total(local_costs(machine, padded * queries), n), draft)
    parts = [(decode, at_n), (total(local_costs(machine, b), b), at_b)]
    if ranks > 1:
        parts.append((total(shared_costs(machine, n * ranks * queries), n), at_n))
        parts.append((total(shared_costs(machine, b * ranks), b), at_b))
    share = np.where(points.is_mixed, 1.0, draft)
    device, flop, byte = heads.seconds[at_o] * share, heads.flop_s[at_o] * share, heads.byte_s[at_o] * share
    for cost, at in parts:
        device, flop, byte = device + cost.seconds[at], flop + cost.flop_s[at], byte + cost.byte_s[at]
    cores = core(machine)
    device = device + schedule.pairs @ np.array(cores.pair_s) + schedule.keys @ np.array(cores.key_s)
    flop = flop + schedule.pairs @ np.array(cores.pair_flop_s) + schedule.keys @ np.array(cores.key_flop_s)
    byte = byte + schedule.keys @ np.array(cores.key_byte_s)
    prompts = np.where(points.is_mixed, terms.prompt_s, 0.0)
    host = np.where(schedule.steps > 0, terms.step_s + prompts + terms.seq_s * schedule.sampled, 0.0)
    device = device / terms.speed + (0.0 if deployment.async_scheduling else host)
    dynamic = terms.power_flop * flop + terms.power_memory * byte
    alone = host + np.where(points.is_mixed, launching_s(machine), 0.0)
    seconds = np.choose(schedule.line, (device, alone, dynamic / (1.0 - terms.power_base)))
    return seconds, dynamic * machine.chip.tdp_w * deployment.gpus
