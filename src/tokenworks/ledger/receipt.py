"""What an appender hears back about each event."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Answer: TypeAlias = Literal["stored", "duplicate", "conflict", "refused"]


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """``stored`` and ``duplicate``: the event is durable at ``seq``. ``conflict``: its key holds another payload, at
    ``seq``. ``refused``: nothing was stored, ``note`` says why. A bulk segment reaches from ``seq`` to ``last_seq``."""

    status: Answer
    seq: int | None = None
    batch: int | None = None  # link of the hash chain that covers it; only of what this call stored
    note: str = ""  # why refused; or "late: period 3", "ahead of the clock by 400 s"
    last_seq: int | None = None

    @property
    def durable(self) -> bool:
        return self.status in ("stored", "duplicate")
