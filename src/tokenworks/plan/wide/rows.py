"""Shapes and batches laid out as rows, those of one machine side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.step import Machine
from tokenworks.plan.ask import Array, Ask
from tokenworks.plan.machines import Machines
from tokenworks.plan.wide import counting
from tokenworks.plan.wide.batches import batches
from tokenworks.plan.wide.counting import count
from tokenworks.plan.wide.room import Room
from tokenworks.plan.wide.traffic import Traffic, Traffics

if TYPE_CHECKING:
    from tokenworks.plan.shapes import Shape

Ints = NDArray[np.int64]
CODES = {"serve": counting.SERVE, "prefill": counting.PREFILL, "decode": counting.DECODE}
SPREAD = 2.0  # standard deviations of the sum over a batch for which the cache has room


@dataclass(frozen=True)
class Block:
    """The rows of one shape."""

    shape: int
    batch: Array
    settings: Array  # (n, SETTINGS) as `counting` reads them
    kv_share: Array
    asked: Traffic


@dataclass(frozen=True)
class Rows:
    """All rows, grouped by machine: those of machine i stand from ``start[i]`` to ``start[i + 1]``."""

    machines: tuple[Machine, ...]
    start: Ints
    shape: Ints
    batch: Array
    settings: Array  # (n, SETTINGS)
    counts: Array  # (n, COUNTS)
    kv_share: Array
    asked: tuple[Traffic, ...]  # distinct ones
    asks: Ints  # (n,) which of them


def rows(shapes: Sequence[Shape], ask: Ask, machines: Machines) -> Rows:
    """Every shape with every batch whose sequences fit its cache (one at least), counted."""
    traffics = Traffics(ask)
    groups: dict[int, tuple[Machine, list[Block]]] = {}
    for i, shape in enumerate(shapes):
        machine = machines.of(shape.deployment)
        groups.setdefault(id(machine), (machine, []))[1].append(block(i, shape, machine, traffics.of(machine)))
    blocks = [b for _, own in groups.values() for b in own]
    settings = np.concatenate([b.settings for b in blocks])
    counts = np.zeros((len(settings), counting.COUNTS))
    asked = traffics.distinct
    count(settings, asked[0].prompts, asked[0].levels, counts)
    lengths, places = [len(b.batch) for b in blocks], {id(a): i for i, a in enumerate(asked)}
    sizes = [sum(len(b.batch) for b in own) for _, own in groups.values()]
    return Rows(
        tuple(machine for machine, _ in groups.values()),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.repeat([b.shape for b in blocks], lengths),
        np.concatenate([b.batch for b in blocks]),
        settings,
        counts,
        np.concatenate([b.kv_share for b in blocks]),
        asked,
        np.repeat([places[id(b.asked)] for b in blocks], lengths),
    )


def block(number: int, shape: Shape, machine: Machine, asked: Traffic) -> Block:
    """The rows of one shape."""
    d = shape.deployment
    batch = batches(d.max_seqs)
    if shape.role == "prefill":
        most = max(32.0, 16.0 * d.token_budget / asked.prompt)  # more prompts than this only wait
        batch = batch[batch <= most]
    room = Room.of(machine, d)
    batch = fitting(batch, kv_share(batch, shape.role, asked, room))
    share = kv_share(batch, shape.role, asked, room)
    settings = np.empty((len(batch), counting.SETTINGS))
    settings[:] = (
        0.0, d.dp, d.token_budget, d.receive_interval, d.prefill_alone, d.chunked_prefill, CODES[shape.role], asked.steps,
        d.plans_ahead,
    )  # fmt: skip
    settings[:, counting.BATCH] = batch
    return Block(number, batch, settings, share, asked)


def fitting(batch: Array, share: Array) -> Array:
    """The batches that the cache holds, one at least, and the whole number before the one that just fills it: shares grow
    with the batch, nearly straight between two of the grid."""
    fits = max(1, int(np.searchsorted(share > 1.0, True)))
    if fits == len(batch) or share[fits - 1] > 1.0 or not np.isfinite(share[fits]):
        return batch[:fits]
    last, following = batch[fits - 1 : fits + 1]
    full = np.floor(last + (following - last) * (1.0 - share[fits - 1]) / (share[fits] - share[fits - 1]))
    return np.append(batch[:fits], full) if last < full < following else batch[:fits]


def kv_share(batch: Array, role: str, asked: Traffic, room: Room) -> Array:
    """Of a rank's KV cache that a batch takes, with room for the spread of its lengths: (b · mean + 2 · sd · √b + half a
    block a sequence) / cache. Independent sequences: variances add."""
    held, spread = (asked.prompt, float(asked.prompts.std())) if role == "prefill" else (asked.held, asked.held_sd)
    need = batch * (held + room.block_tokens / 2) + SPREAD * spread * np.sqrt(batch)
    there = room.tokens(batch)
    return np.asarray(np.where(there > 0, need / np.maximum(there, 1.0), np.inf))
