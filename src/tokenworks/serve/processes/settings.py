"""What the supervisor tells its processes, and what they say to it: lines of JSON over their standard input and output."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

LONGEST_LINE = 16 << 20
Addresses = list[tuple[str, str | None]]  # of emulated engines, each with its pool where it has one


class FactoryText(msgspec.Struct):
    """A factory as it was read and checked by the supervisor: a process that is started again gets the one in force,
    whatever its file holds by then."""

    text: str  # YAML
    file: str


class LedgerSettings(msgspec.Struct, tag="ledger"):
    """Of the process that owns the ledger's file."""

    place: str
    segments: str | None
    door: int  # descriptor of the socket where gateways come in
    patience_s: float  # for gateways that still have something to say when it is asked to stop


class EngineSettings(msgspec.Struct, tag="engines"):
    """Of the process that emulates engines."""

    factory: FactoryText
    door: int
    speed: float
    streams: int


class GatewaySettings(msgspec.Struct, tag="gateway"):
    """Of one gateway process."""

    factory: FactoryText
    place: int  # its number, from 0
    places: int
    door: int
    folder: str  # where all processes meet
    link: str | None  # socket of the ledger process; None: it writes by itself, into
    ledger: str
    segments: str | None
    budgets: tuple[str, str]  # where they are kept: file or database, and the folder of this machine's journals
    keys: str | None
    certificate: tuple[str, str] | None  # files of chain and key
    drained: list[tuple[str, int]]  # upstreams that take no new calls: service, place in the file's list
    emulated: dict[str, Addresses] | None  # addresses of emulated engines by service; None: those of the factory


class Again(msgspec.Struct, tag="again"):
    """Another factory takes the place of the present one."""

    factory: FactoryText


class Drain(msgspec.Struct, tag="drain"):
    """An upstream takes no new calls from here on, or takes them again. From a gateway: somebody wants it of all; from the
    supervisor: do it."""

    number: int  # by who sends it
    service: str
    upstream: int  # its place in the file's list
    url: str
    drained: bool


class Done(msgspec.Struct, tag="done"):
    """The answer to a ``Drain``: it holds, in the process that says so, or to a gateway: in all of them. ``trouble``: why not."""

    number: int
    trouble: str = ""


class Ready(msgspec.Struct, tag="ready"):
    """It works; ``addresses``: of emulated engines by service."""

    addresses: dict[str, Addresses] = {}


class Failed(msgspec.Struct, tag="failed"):
    """It cannot begin."""

    why: str


Settings = LedgerSettings | EngineSettings | GatewaySettings
Order = Again | Drain | Done
ToChild = LedgerSettings | EngineSettings | GatewaySettings | Order
FromChild = Ready | Failed | Drain | Done
to_line = msgspec.json.Encoder().encode
to_child: Callable[[bytes], ToChild] = msgspec.json.Decoder(ToChild).decode
from_child: Callable[[bytes], FromChild] = msgspec.json.Decoder(FromChild).decode
