"""The hash chain: each batch's link covers the link before it, so nothing stored can change unseen."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

FIRST_LINK = bytes(32)


class Batch(msgspec.Struct, frozen=True):
    """One link: a group of events, a bulk segment, a sealing or the closing of a period."""

    batch: int
    kind: str  # events | segment | seal | close
    first_seq: int
    last_seq: int  # first_seq − 1 where it adds no event
    body: bytes  # SHA-256 of what it covers
    note: str  # JSON: the segment, the seal or the period; "" for events
    link: bytes


def entry_hash(payload_sha256: bytes, copy: bytes | None) -> bytes:
    """Of one event; a reversal's covers the copy of what it takes back, too."""
    return payload_sha256 if copy is None else sha256(payload_sha256 + sha256(copy).digest()).digest()


def body_hash(entries: Iterable[bytes]) -> bytes:
    """Of the entries of a batch, in order."""
    return sha256(b"".join(entries)).digest()


def link_hash(before: bytes, batch: int, kind: str, seqs: tuple[int, int], body: bytes, note: str) -> bytes:
    counts = f"{batch}|{kind}|{seqs[0]}|{seqs[1]}|".encode()
    return sha256(before + counts + body + sha256(note.encode()).digest()).digest()


def next_batch(head: Batch | None, kind: str, count: int, body: bytes, note: str = "") -> Batch:
    """The link after ``head`` (None: the first), for ``count`` events."""
    number, first, before = (head.batch + 1, head.last_seq + 1, head.link) if head else (1, 1, FIRST_LINK)
    seqs = (first, first + count - 1)
    return Batch(number, kind, *seqs, body, note, link_hash(before, number, kind, seqs, body, note))
