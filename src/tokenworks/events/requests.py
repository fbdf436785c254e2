"""Requests as columns: what a workload yields and the twin consumes. Schema only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Requests:
    """One chunk of a request stream, sorted by arrival. All arrays have length n except the hashes.

    Requests may follow others of the same chunk, which then is the whole stream: request i comes at the later of its
    ``arrival`` and, ``think`` after the last of them has left, the end of its predecessors
    ``after[after_start[i]:after_start[i + 1]]``, all of smaller number. So are the calls of agents.

    ``block_start`` has length n + 1: request i brings the prompt block hashes
    ``block_hash[block_start[i]:block_start[i + 1]]``, one per full block of ``hash_block_tokens`` tokens.
    """

    arrival: NDArray[np.int64]  # ticks of 10 ps from the start of the run
    input_tokens: NDArray[np.int32]  # ≥ 1
    output_tokens: NDArray[np.int32]  # ≥ 1
    service: NDArray[np.int16]  # index into the factory's services
    tenant: NDArray[np.int32]
    session: NDArray[np.int64]  # −1: none
    priority: NDArray[np.int8]  # 0 is served first
    timeout: NDArray[np.int64]  # ticks to the first token after which the caller gives up; 0: never
    think: NDArray[np.int64]  # ticks before a closed-loop client, or an agent, sends this request
    block_start: NDArray[np.int64]
    block_hash: NDArray[np.uint64]
    hash_block_tokens: int
    after_start: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, np.int64)
    )  # (n + 1,); empty: none follows
    after: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.arrival)
