"""Calls of agents' runs as columns, with what each waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tokenworks.workload.agents.recording import Floats, Ints

APART = ("before_start", "before")


@dataclass(frozen=True)
class Calls:
    """One row per attempt at a call, run by run; a row waits only for rows before it. Tokens are integers.

    ``before[before_start[i]:before_start[i + 1]]`` are the rows that must have ended before row i is sent,
    ``tool_s`` + ``think_s`` after the last of them; none: it is sent when its run begins, after the same pause.
    """

    run: Ints  # number of the run
    agent: Ints  # 0: the lead; sub-agents from 1
    step: Ints  # of the agent, from 1; attempts at one step share it
    attempt: Ints  # from 1
    phase: Ints  # index into the template's phases
    input_tokens: Ints
    kept: Ints  # of the input: tokens that an earlier prompt began with, or that all runs share
    visible: Ints
    reasoning: Ints
    tool: Ints
    tool_s: Floats
    think_s: Floats
    failed: NDArray[np.bool_]  # nobody used its output
    seen: NDArray[np.bool_]  # the run's user saw its visible output
    before_start: Ints
    before: Ints

    def __len__(self) -> int:
        return len(self.run)

    @property
    def output_tokens(self) -> Ints:
        return self.visible + self.reasoning + self.tool

    @property
    def seen_tokens(self) -> int:
        """What users saw."""
        return int(self.visible[self.seen].sum())

    def cache_read(self, block: int) -> Ints:
        """Input tokens in whole blocks that a cache which forgets nothing would hold."""
        return self.kept // block * block


def joined_calls(parts: Sequence[Calls]) -> Calls:
    """Runs one after the other."""
    before = np.cumsum([0, *(len(p) for p in parts[:-1])])
    edges = np.cumsum([0, *(len(p.before) for p in parts[:-1])])
    columns = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Calls) if f.name not in APART
    }
    starts = [p.before_start[:-1] + edge for p, edge in zip(parts, edges, strict=True)]
    last = edges[-1] + len(parts[-1].before)
    return Calls(
        **columns,
        before_start=np.concatenate([*starts, [last]]),
        before=np.concatenate([p.before + first for p, first in zip(parts, before, strict=True)]),
    )
