"""What engines publish of their KV caches (vLLM, SGLang: ZeroMQ, msgpack), as far as a gateway that does not tokenise can use it.

An engine names its blocks by hashes of tokens, which cannot be had from a text without its tokenizer. So events teach the
gateway to forget, not to believe: a cleared cache, an engine that has started anew, and a cache that holds fewer tokens than
the index believes (only where all events since one of the first two are known). What is cached where is learned from what was
sent where.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.upstreams.prefix_index import PrefixIndex
from tokenworks.serve.upstreams.prompt import UNIT_TOKENS

log = logging.getLogger("tokenworks.serve")
STORED, REMOVED, CLEARED = "BlockStored", "BlockRemoved", "AllBlocksCleared"
DEVICE = ("GPU", "gpu", None)  # mediums that count; vLLM's older events name none

UNFIT = (*NOT_JSON, LookupError, TypeError, ValueError, OverflowError)  # raised by bytes and values of the wrong shape

_decode = msgspec.msgpack.Decoder().decode


class CacheMirror:
    """One upstream's blocks, by data-parallel rank. Positions of events: `batch`'s numbers count from 0 at an engine's start."""

    def __init__(self, index: PrefixIndex, position: int):
        self._index, self._position = index, position
        self._blocks: dict[tuple[Any, Any], int] = {}  # (rank, hash) → tokens
        self._tokens = 0
        self._last = -1
        self._whole = False  # no event has been missed since the cache was empty

    @property
    def tokens(self) -> int | None:
        """That the engine's cache holds; None where that cannot be known."""
        return self._tokens if self._whole else None

    def batch(self, number: int, payload: bytes) -> None:
        """One message. What cannot be read is as good as missed, and nothing is raised for it."""
        if number <= self._last or number == 0:
            self._forget(whole=number == 0)  # the engine has started anew
        elif number != self._last + 1:
            self._whole = False
        self._last = number
        try:
            message = _decode(payload)
            rank = message[2] if len(message) > 2 else None
            events = list(message[1])
        except UNFIT as error:
            self._missed(error)
            return
        for event in events:
            try:
                self._event(event, rank)
            except UNFIT as error:
                self._missed(error)
        if self._whole:
            self._index.shrink(self._position, -(-self._tokens // UNIT_TOKENS))

    def _missed(self, error: Exception) -> None:
        self._whole = False
        log.warning("upstream %d: a KV event that cannot be read: %s", self._position, error)

    def _event(self, event: Any, rank: Any) -> None:
        kind, *fields = event
        if kind == CLEARED:
            self._forget(whole=True)
        elif kind == STORED and _medium(fields, 5) in DEVICE:
            tokens = int(fields[3])
            if tokens < 0:
                raise ValueError(f"blocks of {tokens} tokens")
            for name in fields[0]:
                self._set((rank, name), tokens)
        elif kind == REMOVED and _medium(fields, 1) in DEVICE:
            for name in fields[0]:
                self._set((rank, name), 0)

    def _set(self, block: tuple[Any, Any], tokens: int) -> None:
        self._tokens += tokens - self._blocks.pop(block, 0)
        if tokens:
            self._blocks[block] = tokens

    def _forget(self, whole: bool) -> None:
        self._blocks.clear()
        self._tokens, self._whole = 0, whole
        self._index.clear(self._position)


def _medium(fields: list[Any], place: int) -> Any:
    return fields[place] if len(fields) > place else None
