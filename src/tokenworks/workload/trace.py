"""A recorded stream of requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOONCAKE_BLOCK = 512  # tokens of one hash block in the Mooncake release


@dataclass(frozen=True)
class Trace:
    """A recorded stream of requests, sorted by arrival; hashes as in events.Requests, their ids from 0 without gaps."""

    name: str
    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    block_start: NDArray[np.int64]
    block_hash: NDArray[np.uint64]
    hash_block_tokens: int
    source: str
    session: NDArray[np.int64]  # from 0 without gaps; −1: none
    tenant: NDArray[np.int32]  # from 0 without gaps; −1: unknown
    left_out: int = 0  # failed requests of the recording

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return int(self.session.max(initial=-1)) + 1

    @property
    def span_s(self) -> float:
        """Length of the recording: the last arrival plus one mean gap; a second where all arrive at once."""
        count = len(self)
        return float(self.arrival_s[-1]) * count / (count - 1) if count > 1 and self.arrival_s[-1] > 0 else 1.0

    @property
    def rate_s(self) -> float:
        return len(self) / self.span_s


@dataclass(frozen=True)
class Columns:
    """What a file says about its requests, in its own order."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    blocks: NDArray[np.int64]  # hashes of each request
    hashes: NDArray[np.int64]
    hash_block_tokens: int = MOONCAKE_BLOCK
    session: NDArray[np.int64] | None = None
    tenant: NDArray[np.int64] | None = None
    left_out: int = 0


def trace_of(name: str, said: Columns, origin: str) -> Trace:
    """A trace sorted by arrival, from 0; lengths are at least one token, partly filled blocks are left out."""
    order = np.argsort(said.arrival_s, kind="stable")
    inputs = np.maximum(1, said.input_tokens).astype(np.int32)
    none = np.full(len(order), -1, np.int64)
    tenant = none if said.tenant is None else said.tenant
    start, hashes = _full_blocks(said, inputs // said.hash_block_tokens, order)
    return Trace(
        name,
        said.arrival_s[order] - said.arrival_s[order[0]],
        inputs[order],
        np.maximum(1, said.output_tokens).astype(np.int32)[order],
        start,
        hashes,
        said.hash_block_tokens,
        origin,
        (none if said.session is None else said.session)[order],
        tenant.astype(np.int32)[order],
        said.left_out,
    )


def _full_blocks(
    said: Columns, most: NDArray[np.int32], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hashes of full blocks alone, in order: a prompt's last, partly filled block cannot be reused."""
    first = np.cumsum(said.blocks) - said.blocks
    kept = np.minimum(said.blocks, most)[order]
    before = np.cumsum(kept) - kept
    place = np.arange(kept.sum()) + np.repeat(first[order] - before, kept)
    _, ids = np.unique(said.hashes[place], return_inverse=True)
    return np.concatenate([[0], np.cumsum(kept)]), ids.astype(np.uint64)
