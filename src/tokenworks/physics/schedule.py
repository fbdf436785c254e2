"""Seconds and joules of the steps of a recorded schedule, straight from the operators: what calibration
differentiates. The schedule stays as it is while terms move a little; nothing is compiled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.compile import decode_work, graph_padded, grid, heads_work, mixed_work, shared_work
from tokenworks.physics.operators import Array, Cost
from tokenworks.physics.power import PowerLaw, Work, nothing, rate
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
            _distinct(np.where(mixed, schedule.sampled, 0.0)),  # those of a pure decode step are its sequences
            mixed,
        )


def _distinct(values: Array) -> tuple[Array, NDArray[np.int64]]:
    found, where = np.unique(values, return_inverse=True)
    return found, where


@dataclass(frozen=True)
class Part:
    """Operators that are computed at the same arguments: their costs there, where each segment finds its own, and what a
    segment multiplies them by."""

    costs: dict[str, Cost]
    arguments: Array
    at: NDArray[np.int64]
    factor: float


def parts_of(machine: Machine, points: Points) -> list[Part]:
    """All operators of a schedule's steps but the attention cores."""
    deployment = machine.deployment
    queries, ranks = 1 + deployment.draft_tokens, deployment.dp
    draft = 1.0 + deployment.draft_tokens / machine.part.layers
    (n, at_n), (b, at_b), (o, at_o) = points.decode, points.mixed, points.heads
    padded = graph_padded(n, deployment.cuda_graph_max_seqs)
    parts = [
        Part(sequence_costs(machine, n * queries), n, at_n, draft),
        Part(sequence_costs(machine, o * queries), o, at_o, 1.0),
        Part(local_costs(machine, padded * queries), n, at_n, draft),
        Part(local_costs(machine, b), b, at_b, 1.0),
    ]
    if ranks > 1:
        parts.append(Part(shared_costs(machine, n * ranks * queries), n, at_n, 1.0))
        parts.append(Part(shared_costs(machine, b * ranks), b, at_b, 1.0))
    return parts


def host_seconds(machine: Machine, schedule: Schedule, points: Points) -> Array:
    """Of the host in one step of every segment."""
    terms = machine.terms
    prompts = np.where(points.is_mixed, terms.prompt_s, 0.0)
    return np.where(schedule.steps > 0, terms.step_s + prompts + terms.seq_s * schedule.sampled, 0.0)


def step_costs(machine: Machine, schedule: Schedule, points: Points) -> tuple[Array, Array]:
    """(seconds of one step, dynamic joules of the whole worker in one step) of every segment, on its recorded line."""
    deployment, terms = machine.deployment, machine.terms
    queries, ranks = 1 + deployment.draft_tokens, deployment.dp
    law = PowerLaw(terms, machine.chip.tdp_w)
    (n, at_n), (b, at_b), (o, at_o) = points.decode, points.mixed, points.heads
    parts = [(decode_work(machine, law, n), at_n), (mixed_work(machine, law, b), at_b)]
    parts.append((heads_work(machine, law, o), at_o))
    if ranks > 1:
        parts.append((shared_work(machine, law, n * ranks * queries), at_n))
        parts.append((shared_work(machine, law, b * ranks), at_b))
    found = nothing(len(schedule.steps))
    for table, where in parts:
        found = found + at(table, where)
    cores = core(machine)
    for cost, counts in ((cores.pair, schedule.pairs), (cores.key, schedule.keys)):
        each = rate(cost, law)
        found = found + Work(counts @ each.seconds, counts @ each.dynamic_s)
    host = host_seconds(machine, schedule, points)
    device = found.seconds + (0.0 if deployment.async_scheduling else host)
    alone = host + np.where(points.is_mixed, launching_s(machine), 0.0)
    seconds = np.choose(schedule.line, (device, alone, law.limit_s(found.dynamic_s)))
    return seconds, law.joules(found.dynamic_s, deployment.gpus)


def at(table: Work, where: NDArray[np.int64]) -> Work:
    return Work(table.seconds[where], table.dynamic_s[where])
