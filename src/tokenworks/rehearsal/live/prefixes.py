"""Prompt hashes for recorded requests: as many blocks are shared with earlier prompts as were read from a cache live.

A ledger says how many tokens a call read from cache, not which. They are taken from the prompt before it of the same
run, and where that is too short, or there is none, from a prompt that everybody has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.rehearsal.live.recorded import Recorded
from tokenworks.workload.streams import bounds

BLOCK_TOKENS = 64
EVERYBODY_BITS = 32  # of a block of everybody's prompt: its place; above them the service
OWN = 1 << 48  # from here on blocks of one request alone


def prefixes(made: Recorded) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """(bounds of each request's hashes, hashes): one per full block of its prompt, as events.Requests has them."""
    counts = made.input_tokens // BLOCK_TOKENS
    start = bounds(counts)
    hashes = (OWN + np.arange(start[-1])).astype(np.uint64)
    last = dict[tuple[int, int], NDArray[np.uint64]]()
    columns = (counts, made.cached_tokens // BLOCK_TOKENS, made.service, made.session)
    for row, (count, cached, service, session) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        mine, same = hashes[start[row] : start[row + 1]], min(cached, count)
        before = last.get((service, session), mine[:0])[:same] if session >= 0 else mine[:0]
        mine[: len(before)] = before
        mine[len(before) : same] = (service << EVERYBODY_BITS) + np.arange(len(before), same)
        if session >= 0:
            last[service, session] = mine
    return start, hashes
