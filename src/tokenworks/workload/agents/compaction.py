"""Agents that summarise their context when it grows too long: fewer tokens read again, and a cache that begins anew.

When a prompt would pass the limit, the call before it writes a summary (an eighth of the limit, read by nobody else), and
the prompt is the shared head, the summary and what is new. Later prompts go on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import Ints

SUMMARY = 8  # the limit over a summary's length
LEAST = 1024  # tokens: a shorter context holds no task


def compacted(calls: Calls, limit: int) -> Calls:
    """The calls under a longest prompt of ``limit`` tokens; a prompt whose head and news are longer stays as it is.
    Raises InputError for a limit below 1,024 tokens."""
    if limit < LEAST:
        raise InputError(f"compaction: {limit} tokens hold no task; at least {LEAST:,}")
    inputs, kept, reasoning = calls.input_tokens.copy(), calls.kept.copy(), calls.reasoning.copy()
    for rows in _contexts(calls):
        _compact(rows, limit, calls, inputs, kept, reasoning)
    return replace(calls, input_tokens=inputs, kept=kept, reasoning=reasoning)


def _contexts(calls: Calls) -> Iterator[Ints]:
    """Rows of each agent of each run, in their order."""
    order = np.lexsort((np.arange(len(calls)), calls.agent, calls.run))
    change = (np.diff(calls.run[order]) != 0) | (np.diff(calls.agent[order]) != 0)
    yield from np.split(order, np.flatnonzero(change) + 1)


def _compact(rows: Ints, limit: int, calls: Calls, inputs: Ints, kept: Ints, reasoning: Ints) -> None:
    """``cut`` is what summaries have taken out of the context so far."""
    head, cut, summary = int(calls.kept[rows[0]]), 0, limit // SUMMARY
    for before, row in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        told, stays = int(calls.input_tokens[row]) - cut, max(head, int(calls.kept[row]) - cut)
        shorter = head + summary + told - stays
        if told > limit and shorter < told and calls.attempt[row] == 1:
            reasoning[before] += summary
            cut += told - shorter
            told, stays = shorter, head
        inputs[row], kept[row] = told, min(stays, told)
