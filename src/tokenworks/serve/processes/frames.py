"""Messages over a Unix socket: four bytes of length, then msgpack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import Receipt

LENGTH_BYTES = 4
MOST_BYTES = 64 << 20  # of a message; more is no message of ours


class Ack(msgspec.Struct, array_like=True, gc=False):
    """What the ledger says of one event: its receipt, or why it could not be stored."""

    number: int
    receipt: Receipt | None
    trouble: str = ""


Numbered: TypeAlias = tuple[int, AnyEvent]
encode = msgspec.msgpack.Encoder().encode
decode_events = msgspec.msgpack.Decoder(list[Numbered]).decode
decode_acks = msgspec.msgpack.Decoder(list[Ack]).decode


def framed(message: Sequence[object]) -> bytes:
    body = encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Frames(asyncio.Protocol):
    """Hands on whole messages. A message that is too long ends the connection."""

    def __init__(self, taken: Callable[[bytes], None], lost: Callable[[Frames], None]):
        self._taken, self._lost = taken, lost
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        place = 0
        while len(data) - place >= LENGTH_BYTES:
            begin = place + LENGTH_BYTES
            end = begin + int.from_bytes(data[place:begin], "big")
            if end - begin > MOST_BYTES:
                self.transport.abort()
                return
            if end > len(data):
                break
            self._taken(data[begin:end])
            place = end
        self._rest = data[place:]

    def connection_lost(self, error: Exception | None) -> None:
        self._lost(self)
