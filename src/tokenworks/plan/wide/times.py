"""Seconds and joules of each row's steps: counts and tables put together, lines and all (physics.worker_model)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.operators import Array
from tokenworks.physics.step import Machine
from tokenworks.plan.wide import counting as c
from tokenworks.plan.wide.rows import Ints, Rows
from tokenworks.plan.wide.steps import (
    BASE,
    CONSTANTS,
    LAUNCH_S,
    PROMPT_S,
    SEQ_S,
    STEP_S,
    WAITS,
    WATTS,
    Asked,
    Tables,
    tables,
)


@dataclass(frozen=True)
class Times:
    """Per row: one pure decode step and one step with prompts of the whole replica; dynamic joules."""

    decode_s: Array
    mixed_s: Array
    decode_j: Array
    mixed_j: Array
    constants: Array  # (n, CONSTANTS)


@dataclass(frozen=True)
class _Sums:
    """Device seconds and energy over TDP of a kind of step, by row; the energy of the mean rank beside the fullest's."""

    seconds: Array
    dynamic_s: Array
    mean_s: Array


def times(rows: Rows) -> Times:
    """All step times of the rows: one call of the operators a machine."""
    n = len(rows.batch)
    decode, mixed = _Sums(*np.zeros((3, n))), _Sums(*np.zeros((3, n)))
    constants = np.zeros((len(rows.machines), CONSTANTS))
    for i, machine in enumerate(rows.machines):
        part = slice(rows.start[i], rows.start[i + 1])
        constants[i] = _fill(machine, rows, part, decode, mixed)
    known = np.repeat(constants, np.diff(rows.start), axis=0)
    counts = rows.counts
    sampled = counts[:, c.MIXED_N] + _ending(rows)
    host = np.where(counts[:, c.PURE] > 0, known[:, STEP_S] + known[:, SEQ_S] * counts[:, c.PURE], 0.0)
    beside = known[:, STEP_S] + known[:, PROMPT_S] + known[:, SEQ_S] * sampled
    beside = np.where(counts[:, c.CHUNK] > 0, beside, 0.0)
    launched = beside + np.where(counts[:, c.CHUNK] > 0, known[:, LAUNCH_S], 0.0)
    return Times(
        _longest(decode, host, host, known),
        _longest(mixed, beside, launched, known),
        decode.mean_s * known[:, WATTS],
        mixed.mean_s * known[:, WATTS],
        known,
    )


def _longest(of: _Sums, host: Array, alone: Array, known: Array) -> Array:
    """The longest line: device and host in turn, or the device beside it; the host alone; the power limit."""
    device = of.seconds + known[:, WAITS] * host
    return np.maximum(np.maximum(device, alone), of.dynamic_s / (1.0 - known[:, BASE]))


def _ending(rows: Rows) -> Array:
    """Prompts of the fullest rank that end in a step with prompts."""
    return rows.counts[:, c.CHUNK] / rows.asked[0].prompt


def _fill(machine: Machine, rows: Rows, part: slice, decode: _Sums, mixed: _Sums) -> Array:
    """Work of one machine's rows into their places. Returns its constants."""
    counts, ranks = rows.counts[part], machine.deployment.dp
    sequences, where = np.unique(counts[:, c.PURE], return_inverse=True)
    prompts = np.flatnonzero(counts[:, c.CHUNK] > 0)
    some = counts[prompts]
    tokens = some[:, c.MIXED_N] + some[:, c.CHUNK]
    ending = some[:, c.CHUNK] / rows.asked[0].prompt
    mean = some[:, c.MIXED_N] + some[:, c.CHUNK_MEAN]
    found = tables(machine, Asked(sequences, tokens, some[:, c.MIXED_N] + ending, ranks * mean))
    keys, pairs = _by_class(rows, part)
    _decode(found, where, counts[:, c.PURE, None] * keys, part, decode)
    here = np.arange(part.start, part.stop)[prompts]
    _mixed(
        found, some[:, c.MIXED_N, None] * keys[prompts], ending[:, None] * pairs[prompts], mean / tokens, here, mixed
    )
    return found.constants


def _by_class(rows: Rows, part: slice) -> tuple[Array, Array]:
    """(keys of a decode sequence, pairs of a prompt) of each row, (n, 3) by context class."""
    keys = np.stack([a.keys for a in rows.asked])
    pairs = np.stack([a.pairs for a in rows.asked])
    return keys[rows.asks[part]], pairs[rows.asks[part]]


def _decode(found: Tables, where: Ints, keys: Array, part: slice, out: _Sums) -> None:
    once = found.decode.seconds + found.shared_decode.seconds
    out.seconds[part] = once[where] + keys @ found.key.seconds
    once = found.decode.dynamic_s + found.shared_decode.dynamic_s
    out.dynamic_s[part] = out.mean_s[part] = once[where] + keys @ found.key.dynamic_s


def _mixed(found: Tables, keys: Array, pairs: Array, mean: Array, here: Ints, out: _Sums) -> None:
    """``mean``: tokens of the mean rank over those of the fullest: its energy is that share of the fullest's."""
    out.seconds[here] = (
        found.mixed.seconds + found.shared_mixed.seconds + keys @ found.key.seconds + pairs @ found.pair.seconds
    )
    local = found.mixed.dynamic_s + keys @ found.key.dynamic_s + pairs @ found.pair.dynamic_s
    out.dynamic_s[here] = local + found.shared_mixed.dynamic_s
    out.mean_s[here] = local * mean + found.shared_mixed.dynamic_s
