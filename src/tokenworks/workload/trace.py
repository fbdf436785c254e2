"""A recorded stream of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOONCAKE_BLOCK = 512  # tokens of one hash block in the Mooncake release


@dataclass(frozen=True)
class Trace:
    """A recorded stream of requests, sorted by arrival; hashes as in events.Requests."""

    name: str
    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    block_start: NDArray[np.int64]
    block_hash: NDArray[np.uint64]
    hash_block_tokens: int
    source: str

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def span_s(self) -> float:
        """Length of the recording: the last arrival plus one mean gap."""
        count = len(self)
        return float(self.arrival_s[-1]) * count / max(1, count - 1) if count > 1 else 1.0

    @property
    def rate_s(self) -> float:
        return len(self) / self.span_s


def trace_of(
    name: str, arrival: Any, inputs: Any, outputs: Any, start: Any, hashes: Any, block: int, origin: str
) -> Trace:
    """A trace from columns sorted by arrival; lengths are at least one token, partly filled blocks are left out."""
    inputs = np.maximum(1, np.asarray(inputs, np.int64)).astype(np.int32)
    outputs = np.maximum(1, np.asarray(outputs, np.int64)).astype(np.int32)
    start, hashes = _full_blocks(np.asarray(start, np.int64), hashes, inputs // block)
    return Trace(name, np.asarray(arrival, float), inputs, outputs, start, hashes, block, origin)


def _full_blocks(start: Any, hashes: Any, most: Any) -> tuple[Any, Any]:
    """Hashes of full blocks alone: a prompt's last, partly filled block cannot be reused."""
    counts = np.diff(start)
    kept = np.minimum(counts, most)
    inside = np.arange(start[-1]) - np.repeat(start[:-1], counts) < np.repeat(kept, counts)
    return np.concatenate([[0], np.cumsum(kept)]), hashes[inside]
