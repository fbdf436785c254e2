"""From an attempt to its token event, durable in the ledger before the caller gets the last byte."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent, UsageEvent
from tokenworks.ledger import Receipt
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused
from tokenworks.serve.telemetry.trace import Trace

log = logging.getLogger("tokenworks.serve")
FEW, LINGER_S = 4, 0.01  # events of a group after which nobody waits; how long others wait for company
LONGEST = 200  # characters of what a caller says about its run
PREFIX = b"x-tokenworks-"
FIELDS = ("root_run", "run", "parent_run", "agent", "purpose", "conversation")
HEADERS = tuple((PREFIX + name.replace("_", "-").encode(), name) for name in FIELDS)


class Names:
    """UUIDs of version 7 (RFC 9562): in order of time, so that keys come to stand side by side. Random bytes come from the
    system some hundred at a time."""

    def __init__(self) -> None:
        self._random, self._place = b"", 0

    def __call__(self) -> str:
        place = self._place
        if place >= len(self._random):
            self._random, place = os.urandom(RANDOM_BYTES), 0
        self._place = place + 10
        noise = int.from_bytes(self._random[place : place + 10], "big")
        ms = f"{time.time_ns() // 1_000_000:012x}"
        rest = f"{(noise & NOISE) | VARIANT:020x}"
        return f"{ms[:8]}-{ms[8:]}-7{rest[1:4]}-{rest[4:8]}-{rest[8:]}"


RANDOM_BYTES = 5120
NOISE = (1 << 80) - 1 - (3 << 62)
VARIANT = 2 << 62  # the two bits that RFC 9562 fixes
uuid7 = Names()


def run_of(headers: dict[bytes, bytes]) -> dict[str, str | int]:
    """What the caller says of its run (X-Tokenworks-Run, -Root-Run, -Parent-Run, -Agent, -Purpose, -Conversation, -Step), as
    fields of its event. Raises Refused for what is no line of text."""
    said: dict[str, str | int] = {}
    for header, name in HEADERS:
        if header in headers:
            said[name] = _line(name, headers[header])
    if "run" in said:
        said.setdefault("root_run", said["run"])
    step = headers.get(PREFIX + b"step")
    if step:
        if not step.isdigit() or len(step) > 9:
            raise Refused(400, "header", "X-Tokenworks-Step is a whole number")
        said["step"] = int(step)
    return said


def _line(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text or len(text) > LONGEST:
        raise Refused(
            400, "header", f"X-Tokenworks-{name.title().replace('_', '-')} is one line of up to {LONGEST} characters"
        )
    return text


class Attempt(msgspec.Struct, array_like=True):
    """What an event says of an attempt besides its tokens."""

    id: str
    tenant: str
    service: str
    model: str
    request_model: str
    operation: str
    began_us: int
    run: dict[str, str | int] = {}
    attempt: int = 1
    request: str = ""  # id of the first attempt
    ttft_us: int | None = None
    duration_us: int | None = None
    failed: bool = False
    trace: Trace | None = None  # None: spans are off


Then = Callable[[bool], None]  # told whether the event is durable


class Observer(Protocol):
    """Hears of every event as it is handed to the ledger, on the event loop."""

    def observe(self, event: UsageEvent, trace: Trace | None) -> None: ...


class Commits(Protocol):
    """The way into a ledger: in this process (``GroupCommit``) or in another (``LedgerLink``)."""

    def submit(self, event: AnyEvent) -> asyncio.Future[Receipt]:
        """Done when the event is durable or refused. May raise InputError for an event that is none."""


class Meter:
    """Writes events. One group is under way at a time: what comes meanwhile goes together, so that under load many share a
    commit, for at most LINGER_S more, and alone nobody waits."""

    def __init__(self, group: Commits, source: str):
        self._group, self.source = group, source
        self._waiting: list[tuple[UsageEvent, Then]] = []
        self._under_way = self._last = 0
        self.lost = 0  # events that the ledger did not take
        self.observers: tuple[Observer, ...] = ()

    def write(self, attempt: Attempt, told: Told, then: Then) -> None:
        """``then`` is called once, never from in here."""
        event = event_of(self.source, attempt, told)
        self._waiting.append((event, then))
        for observer in self.observers:
            observer.observe(event, attempt.trace)
        if not self._under_way:
            self._later()

    def _later(self) -> None:
        """At once after a small group; after a large one others will come soon, and a commit costs the same for all."""
        if self._last > FEW:
            self._under_way = 1
            asyncio.get_running_loop().call_later(LINGER_S, self._submit)
        else:
            self._submit()

    def _submit(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._under_way = self._last = len(waiting)
        for event, then in waiting:
            try:
                future = self._group.submit(event)
            except InputError as error:
                asyncio.get_running_loop().call_soon(self._settled, then, str(error))
            else:
                future.add_done_callback(partial(self._answered, then))

    def _answered(self, then: Then, future: asyncio.Future[Receipt]) -> None:
        if future.cancelled():
            self._settled(then, "given up")
        elif error := future.exception():
            self._settled(then, str(error))
        else:
            receipt = future.result()
            self._settled(then, "" if receipt.durable else receipt.note or receipt.status)

    def _settled(self, then: Then, trouble: str) -> None:
        """Nobody may be waiting for this one: what goes wrong is counted and said all the same."""
        self._under_way -= 1
        if trouble:
            self.lost += 1
            log.error("an event was not stored: %s", trouble)
        if not self._under_way and self._waiting:
            self._later()
        then(not trouble)

    async def settle(self) -> None:
        """Until everything that was written is durable or counted as lost."""
        while self._under_way or self._waiting:
            await asyncio.sleep(0.002)


def event_of(source: str, attempt: Attempt, told: Told) -> UsageEvent:
    buckets = told.buckets
    return UsageEvent(
        source=source,
        id=attempt.id,
        time_us=attempt.began_us + (attempt.duration_us or 0),
        tenant=attempt.tenant,
        service=attempt.service,
        provider="own",
        request_model=attempt.request_model,
        model=attempt.model,
        operation=attempt.operation,
        attempt=attempt.attempt,
        input_fresh=buckets.input_fresh,
        cache_read=buckets.cache_read,
        cache_write=buckets.cache_write,
        output_visible=buckets.output_visible,
        output_reasoning=buckets.output_reasoning,
        output_tool=buckets.output_tool,
        usage_source=told.source,  # type: ignore[arg-type]
        usage_status=told.status,  # type: ignore[arg-type]
        failed=attempt.failed,
        ttft_us=attempt.ttft_us,
        duration_us=attempt.duration_us,
        energy_uj=told.energy_uj,
        tags={"request": attempt.request} if attempt.request else {},
        **attempt.run,  # type: ignore[arg-type]
    )


class Unmetered:
    """For calls that use no tokens: there is nothing to wait for."""

    def write(self, attempt: Attempt, told: Told, then: Then) -> None:
        asyncio.get_running_loop().call_soon(then, True)


UNMETERED = Unmetered()


def nobody(_durable: bool) -> None:
    """For events that no answer waits for."""
