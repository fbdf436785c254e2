"""Prompt hashes of calls: a prompt shares with earlier ones of its agent what it kept of them, and with other runs the
head that all share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import Ints
from tokenworks.workload.streams import bounds

SPACE_BITS = 56  # of a hash: the rest is the workload's
EVERYBODY = -1  # in place of a run: heads that all runs share


def prompt_hashes(calls: Calls, block: int) -> tuple[Ints, NDArray[np.uint64]]:
    """(bounds of each call's hashes, hashes): one per full block of its prompt, as events.Requests has them."""
    counts = calls.input_tokens // block
    start = bounds(counts)
    hashes = np.empty(int(start[-1]), np.uint64)
    writers = dict[tuple[int, int], Ints]()
    for row, (run, agent, kept) in enumerate(
        zip(calls.run.tolist(), calls.agent.tolist(), calls.kept.tolist(), strict=True)
    ):
        count, same = int(counts[row]), kept // block
        before = writers.get((run, agent))
        if before is None:  # a first prompt can only share what everybody has
            held = np.full(min(same, count), EVERYBODY, np.int64)
        else:
            held = before[: min(same, count)]
        written = np.concatenate([held, np.full(count - len(held), row, np.int64)])
        writers[run, agent] = written
        hashes[start[row] : start[row + 1]] = _ids(run, agent, written, calls)
    return start, hashes


def _ids(run: int, agent: int, written: Ints, calls: Calls) -> NDArray[np.uint64]:
    """A number for each block, by whose it is, which call wrote it and its place; equal blocks have equal numbers."""
    shared = written == EVERYBODY
    step = calls.step[written] * 2 + calls.attempt[written] % 2
    owner = np.where(shared, 0 if agent == 0 else 1, (run + 1) * 4096 + agent)
    made = _mixed(owner.astype(np.uint64)) ^ np.where(shared, 0, step + 1).astype(np.uint64)
    return _mixed(_mixed(made) ^ np.arange(len(written), dtype=np.uint64)) >> np.uint64(64 - SPACE_BITS)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: a permutation of 64 bits without visible order."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
