"""The recorded sessions of a coding agent that ship with the package, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PLACE = Path(__file__).parent / "data" / "coding-sessions.npz"
SOURCE = "callanjfox/kv-cache-tester traces @94f6046 (Apache-2.0)"
BLOCK_TOKENS = 64  # of a prompt block in the recording
STOPS = ("", "tool_use", "end_turn")  # why an answer ended; "": not recorded
MAIN = 0  # the agent of the session itself


@dataclass(frozen=True)
class Sums:
    """What the recording adds up to, in tokens and rows."""

    sessions: int
    requests: int
    subagents: int
    input: int
    cache_read: int
    output: int


# Counted over the published table `requests_compact.csv.gz` with Python integers, row by row, apart from this package:
# requests are the rows whose type is not `subagent`; input = Σ in_tokens, output = Σ out_tokens,
# cache_read = Σ min(in_tokens, 64 × prefix_blocks_matching_prev_requests).
SUMS = Sums(710, 49_334, 63, 6_037_445_403, 5_814_562_560, 21_709_920)


@dataclass(frozen=True)
class Recording:
    """One row per request, session by session, a sub-agent's requests where it was started. Unknown times are NaN."""

    session: Ints  # from 0 without gaps
    agent: Ints  # 0: the session's own; k: its k-th sub-agent
    start_s: Floats  # since the session, or the sub-agent, began; whole seconds
    streaming: NDArray[np.bool_]
    model: Ints  # index into ``models``
    stop: Ints  # index into STOPS
    input_tokens: Ints
    cache_read: Ints  # of the input: whole blocks that an earlier request of the session began with
    output_tokens: Ints
    api_s: Floats  # from request to end of answer
    think_s: Floats  # from the end of the answer before to this request: tools, and the person
    ttft_s: Floats
    models: tuple[str, ...]
    trace: Ints  # number of each session in the publication
    tool_tokens: Ints  # by session: descriptions of tools at the head of every prompt
    system_tokens: Ints  # by session: the system prompt after them
    sub_session: Ints  # by sub-agent: its session
    sub_noted_s: (
        Floats  # when its marker was written: when its result came, or where its duration is not known, its start
    )
    sub_duration_s: Floats

    def __len__(self) -> int:
        return len(self.session)

    @property
    def depth(self) -> Ints:
        """0: the session's own agent; 1: a sub-agent."""
        return (self.agent > MAIN).astype(np.int64)

    @property
    def fresh(self) -> Ints:
        """Input tokens that had to be computed."""
        return self.input_tokens - self.cache_read

    @property
    def sub_start_s(self) -> Floats:
        """Seconds from the beginning of the session to each sub-agent: within 1.2 s after the lead's request before it."""
        return self.sub_noted_s - np.nan_to_num(self.sub_duration_s)

    @property
    def sums(self) -> Sums:
        columns = self.input_tokens, self.cache_read, self.output_tokens
        return Sums(len(self.trace), len(self), len(self.sub_session), *(int(column.sum()) for column in columns))

    def last_of_session(self) -> NDArray[np.bool_]:
        """Rows of the last request that a session's own agent made."""
        own = np.flatnonzero(self.agent == MAIN)
        last = np.append(self.session[own][1:] != self.session[own][:-1], True)
        marked = np.zeros(len(self), np.bool_)
        marked[own[last]] = True
        return marked


@lru_cache(maxsize=1)
def load_recording() -> Recording:
    """The shipped sessions. Read once; the columns must not be changed."""
    with np.load(PLACE) as file:
        kept = dict(file)
    whole = {key: column.astype(np.int64) for key, column in kept.items() if column.dtype.kind == "i"}
    inputs = np.cumsum(whole["input_step"])
    prefix = np.concatenate([[0], inputs[:-1] // BLOCK_TOKENS]) + whole["prefix_step"]
    return Recording(
        session=whole["session"],
        agent=whole["agent"],
        start_s=np.cumsum(whole["second_step"]).astype(np.float64),
        streaming=kept["streaming"],
        model=whole["model"],
        stop=whole["stop"],
        input_tokens=inputs,
        cache_read=np.minimum(inputs, BLOCK_TOKENS * prefix),
        output_tokens=whole["output"],
        api_s=_known(whole["api_cs"], 100),
        think_s=_known(whole["think_ds"], 10),
        ttft_s=_known(whole["ttft_cs"], 100),
        models=tuple(map(str, kept["models"])),
        trace=whole["trace"],
        tool_tokens=whole["tool_tokens"],
        system_tokens=whole["system_tokens"],
        sub_session=whole["sub_session"],
        sub_noted_s=whole["sub_noted_ms"] / 1000,
        sub_duration_s=_known(whole["sub_duration_ms"], 1000),
    )


def _known(column: Ints, unit: int) -> Floats:
    """Seconds; NaN where −1 was packed."""
    return np.where(column < 0, np.nan, column / unit)
