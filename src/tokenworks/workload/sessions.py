"""Conversations: turns that grow one context, with the prefix hashes of their prompts.

Sessions begin as a renewal process; the number of turns is geometric, the gaps between turns are exponential: callers
do not wait for their answers. A turn's prompt is the system prompt, all earlier turns with their answers, and the new
message. A prompt beyond the longest context begins anew, with the system prompt alone before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.requests import Requests
from tokenworks.spec.demand import Sessions
from tokenworks.workload.arrivals import Floats
from tokenworks.workload.lengths import Ints
from tokenworks.workload.streams import NEVER, at_ticks, bounds, in_ticks, ranges

Rows = NDArray[np.int64]
BLOCK_BITS = 24  # of a hash: the block within its session, or within its system prompt
BEFORE_LIVES = 8  # mean lives of a session by which the process begins before the run: e⁻⁸ of them are missed


@dataclass(frozen=True)
class Generators:
    """One independent stream of random numbers for each thing that is drawn."""

    turns: np.random.Generator
    gaps: np.random.Generator
    prompts: np.random.Generator


@dataclass(frozen=True)
class Turns:
    """Turns of some sessions, session by session."""

    session: Rows
    time: Rows  # ticks
    prompt: Rows  # tokens
    output: Rows
    first_block: Rows  # of the session's own blocks; moves on where a context begins anew
    variant: Rows  # of the system prompt

    def some(self, rows: Rows) -> Turns:
        return Turns(*(getattr(self, field.name)[rows] for field in fields(self)))

    def and_then(self, other: Turns) -> Turns:
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Turns(*(np.concatenate(pair) for pair in pairs))


def life_s(shape: Sessions) -> float:
    """Mean time from the first to the last turn."""
    return float((shape.turns - 1) * shape.gap_s)


def conversations(
    shape: Sessions,
    begins: Iterator[Floats],
    lengths: Callable[[int], tuple[Ints, Ints]],
    rngs: Generators,
) -> Iterator[Requests]:
    """Requests by arrival. ``begins`` counts from `BEFORE_LIVES` mean lives before the run, so that it starts among
    conversations that are under way; turns before the run are left out."""
    shift = int(in_ticks(np.array([BEFORE_LIVES * life_s(shape)]))[0])
    waiting, first = _turns(shape, 0, np.zeros(0, np.int64), lengths, rngs), 0
    for times in begins:
        start = in_ticks(times) - shift
        waiting = waiting.and_then(_turns(shape, first, start, lengths, rngs))
        first += len(times)
        order = np.argsort(waiting.time, kind="stable")
        begun, done = np.searchsorted(waiting.time[order], [0, max(0, start[-1])], side="left")
        if done > begun:
            yield _requests(shape, waiting.some(order[begun:done]))
        if start[-1] >= NEVER - shift:
            return
        waiting = waiting.some(order[done:])


def _turns(
    shape: Sessions, first: int, start: Rows, lengths: Callable[[int], tuple[Ints, Ints]], rngs: Generators
) -> Turns:
    counts = rngs.turns.geometric(1 / shape.turns, len(start))
    edges = bounds(counts)
    total = int(edges[-1])
    session = np.repeat(np.arange(len(start)), counts)
    inputs, outputs = (column.astype(np.int64) for column in lengths(total))
    prompt, moved = _contexts(shape, edges, counts, inputs, outputs)
    time = start[session] + _since_first(in_ticks(rngs.gaps.exponential(shape.gap_s, total)), edges, session)
    variant = rngs.prompts.integers(0, shape.prompts, len(start))[session]
    return Turns(session + first, time, prompt, outputs, moved, variant)


def _since_first(gaps: Rows, edges: Rows, session: Rows) -> Rows:
    """Ticks since the first turn; the gap drawn for a first turn is not used."""
    gaps[edges[:-1]] = 0
    sums = np.cumsum(gaps)
    return np.asarray(sums - sums[edges[:-1]][session])


def _contexts(shape: Sessions, edges: Rows, counts: Rows, inputs: Rows, outputs: Rows) -> tuple[Rows, Rows]:
    """Prompt of each turn, and the first of the session's own blocks in it; turn by turn over all sessions."""
    prompt, moved = np.empty_like(inputs), np.empty_like(inputs)
    context = np.full(len(counts), shape.system_prompt)
    block = np.zeros(len(counts), np.int64)
    for turn in range(int(counts.max(initial=0))):
        live = np.flatnonzero(counts > turn)
        row = edges[live] + turn
        full = (context[live] + inputs[row] > shape.max_context) & (context[live] > shape.system_prompt)
        block[live] += np.where(full, -(-context[live] // shape.block), 0)
        context[live] = np.where(full, shape.system_prompt, context[live]) + inputs[row]
        prompt[row], moved[row] = context[live], block[live]
        context[live] += outputs[row]
    return prompt, moved


def _requests(shape: Sessions, turns: Turns) -> Requests:
    """Turns as requests. Whole blocks of the system prompt are everybody's, later ones the session's own."""
    made = at_ticks(turns.time, turns.prompt.astype(np.int32), turns.output.astype(np.int32))
    counts = turns.prompt // shape.block
    place = ranges(np.zeros_like(counts), counts)
    shared = place < shape.system_prompt // shape.block
    own = (np.repeat(turns.first_block, counts) + place) % (1 << BLOCK_BITS)
    owner = np.where(shared, np.repeat(turns.variant, counts), np.repeat(turns.session + shape.prompts, counts))
    hashes = ((owner << BLOCK_BITS) + np.where(shared, place, own)).astype(np.uint64)
    start = bounds(counts)
    return replace(made, session=turns.session, block_start=start, block_hash=hashes, hash_block_tokens=shape.block)
