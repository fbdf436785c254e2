"""What a journal of reservations says, record by record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from tokenworks.serve.body.usage import Told
from tokenworks.serve.metering import Attempt

SIZE_BYTES = 4  # of a record's length


class Owner(msgspec.Struct, tag="owner", array_like=True):
    """Whose journal it is, on which machine, and since which start of it; ``store``: the id of its budgets."""

    gateway: str
    source: str  # of its events
    boot: str
    host: str
    store: str = ""


class Opened(msgspec.Struct, tag="opened", array_like=True, gc=False):
    """Reserved: ``amounts`` by account."""

    number: int
    accounts: Sequence[str]
    amounts: list[int]
    attempt: Attempt


class Known(msgspec.Struct, tag="known", array_like=True, gc=False):
    """Its event is on the way to the ledger, and so it counts."""

    number: int
    spent: list[int]
    attempt: Attempt
    told: Told


class Closed(msgspec.Struct, tag="closed", array_like=True, gc=False):
    """Given back: nothing of it was used."""

    number: int


class Settled(msgspec.Struct, tag="settled", array_like=True, gc=False):
    """Over, each with what its `Known` says. Written late, some together: until then their events are written again, which the
    ledger knows already, and they count the same."""

    numbers: list[int]


class Totals(msgspec.Struct, tag="totals", array_like=True):
    """Spent by account, in place of all records of what is over."""

    spent: dict[str, int]


class Dropped(msgspec.Struct, tag="dropped", array_like=True):
    """An account whose spending has been told to the store, and counts anew from 0."""

    account: str


Record: TypeAlias = Owner | Opened | Known | Closed | Settled | Totals | Dropped
encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


@dataclass
class Found:
    """What a journal holds. ``whole``: it has an owner."""

    owner: Owner | None = None
    spent: dict[str, int] = field(default_factory=dict)
    opened: dict[int, Opened] = field(default_factory=dict)
    known: dict[int, Known] = field(default_factory=dict)


def replay(data: bytes | memoryview) -> Found:
    """State at the end. A last record that was being written when its owner died was never acted upon; what comes after a
    record that does not fit the ones before it was lost with the machine."""
    found = Found()
    with suppress(KeyError, ValueError):
        _replay(data, found)
    return found


def _replay(data: bytes | memoryview, found: Found) -> None:
    """Raises KeyError or ValueError for a record that does not fit."""
    for record in _records(data):
        match record:
            case Owner():
                found.owner = record
            case Opened():
                found.opened[record.number] = record
            case Known():
                found.known[record.number] = record
            case Closed():
                found.opened.pop(record.number)
                found.known.pop(record.number, None)
            case Settled():
                for number in record.numbers:
                    _settle(found, number)
            case Totals():
                found.spent = dict(record.spent)
            case Dropped():
                found.spent.pop(record.account, None)


def _settle(found: Found, number: int) -> None:
    opened, known = found.opened[number], found.known[number]
    del found.opened[number], found.known[number]
    for account, spent in zip(opened.accounts, known.spent, strict=True):
        found.spent[account] = found.spent.get(account, 0) + spent


def _records(data: bytes | memoryview) -> Iterator[Record]:
    place = 0
    while size := int.from_bytes(data[place : place + SIZE_BYTES], "little"):
        place += SIZE_BYTES
        try:
            yield _decode(data[place : place + size])
        except msgspec.MsgspecError:
            return
        place += size
