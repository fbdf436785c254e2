"""What the producer's side does once per event: check it, make its canonical bytes and hash, say where it adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent, CostEvent, Reversal, UsageEvent
from tokenworks.ledger.checked import check
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.sums import COST_CELL, USAGE_CELL, Sums, sums_of, usage_sums

Cell: TypeAlias = tuple[str | int, ...]  # where an event adds up: the key of a roll-up row

HOUR_US = 3_600_000_000
HASH_BYTES = 16  # of the payload's SHA-256, kept with the key for ever
canonical = msgspec.json.Encoder(order="deterministic").encode
"""An event as the bytes that are hashed and stored."""


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An event ready to store."""

    source: str
    key: bytes
    time_us: int
    tenant: str
    payload: bytes  # canonical JSON
    sha256: bytes
    cell: Cell | None = None  # 4 parts: usage; 5: cost; None: adds up nowhere
    sums: Sums = ()
    target: tuple[str, str] | None = None  # (source, id) of what a reversal takes back


def prepare(event: AnyEvent) -> Prepared:
    """Canonical bytes, hash and sums of one event. InputError where the event is outside its limits."""
    try:
        payload = canonical(event)
        check(payload)
    except (ValueError, TypeError, OverflowError) as error:  # msgspec's errors are ValueErrors
        raise InputError(f"event {event.source!r} {event.id!r}: {error}") from error
    if b"\\" in payload and b"\\u0000" in payload:
        raise InputError(f"event {event.source!r} {event.id!r}: a NUL character cannot be stored")
    key, digest = key_of(event.id), sha256(payload).digest()
    if isinstance(event, UsageEvent):  # nearly all are
        cell = (event.tenant, event.root_run, event.model, event.time_us // HOUR_US)
        return Prepared(event.source, key, event.time_us, event.tenant, payload, digest, cell, usage_sums(event))
    target = (event.of_source, event.of_id) if isinstance(event, Reversal) else None
    return Prepared(
        event.source, key, event.time_us, event.tenant, payload, digest, cell_of(event), sums_of(event), target
    )


def cell_of(event: AnyEvent) -> Cell | None:
    """Where an event adds up."""
    if isinstance(event, UsageEvent):
        return (event.tenant, event.root_run, event.model, event.time_us // HOUR_US)
    if isinstance(event, CostEvent):
        return (event.tenant, event.meter, event.time_us // HOUR_US, event.unit, event.currency)
    return None


def in_hour(cell: Cell, hour: int) -> Cell:
    """The same cell in another hour."""
    place = (USAGE_CELL if len(cell) == len(USAGE_CELL) else COST_CELL).index("hour")
    return (*cell[:place], hour, *cell[place + 1 :])


def all_prepared(events: Iterable[AnyEvent], store: Callable[[Sequence[Prepared]], Sequence[Receipt]]) -> list[Receipt]:
    """One receipt an event, in order: what is outside its limits is refused, all others are stored together."""
    receipts: dict[int, Receipt] = {}
    ready: list[Prepared] = []
    for place, event in enumerate(events):
        try:
            ready.append(prepare(event))
        except InputError as error:
            receipts[place] = Receipt("refused", note=str(error))
    answers = iter(store(ready))
    return [receipts.get(place) or next(answers) for place in range(len(ready) + len(receipts))]
