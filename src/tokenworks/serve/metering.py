"""From an attempt to its token event, durable in the ledger before the caller gets the last byte."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field

from tokenworks.events.ledger_events import UsageEvent
from tokenworks.ledger import GroupCommit, Receipt
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused

log = logging.getLogger("tokenworks.serve")
LONGEST = 200  # characters of what a caller says about its run
PREFIX = b"x-tokenworks-"
FIELDS = ("root-run", "run", "parent-run", "agent", "purpose", "conversation")


def uuid7() -> str:
    """RFC 9562, version 7: in order of time, so that keys come to stand side by side."""
    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    raw[6], raw[8] = 0x70 | raw[6] & 15, 0x80 | raw[8] & 63
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def run_of(headers: dict[bytes, bytes]) -> dict[str, str | int]:
    """What the caller says of its run (X-Tokenworks-Run, -Root-Run, -Parent-Run, -Agent, -Purpose, -Conversation, -Step), as
    fields of its event. Raises Refused for what is no line of text."""
    said: dict[str, str | int] = {}
    if not any(name.startswith(PREFIX) for name in headers):
        return said
    for name in FIELDS:
        value = headers.get(PREFIX + name.encode())
        if value:
            said[name.replace("-", "_")] = _line(name, value)
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
        raise Refused(400, "header", f"X-Tokenworks-{name.title()} is one line of up to {LONGEST} characters")
    return text


@dataclass(slots=True)
class Attempt:
    """What an event says of an attempt besides its tokens."""

    id: str
    tenant: str
    service: str
    model: str
    request_model: str
    operation: str
    began_us: int
    run: dict[str, str | int] = field(default_factory=dict)
    attempt: int = 1
    request: str = ""  # id of the first attempt
    ttft_us: int | None = None
    duration_us: int | None = None
    failed: bool = False


class Meter:
    """Writes events. A receipt that is not durable is an error of the caller's answer."""

    def __init__(self, group: GroupCommit, source: str):
        self._group, self._source = group, source
        self.lost = 0  # events that the ledger did not take

    def write(self, attempt: Attempt, told: Told) -> asyncio.Future[Receipt]:
        """Done when the event is durable. Raises InputError for an event outside the ledger's limits."""
        buckets = told.buckets
        event = UsageEvent(
            source=self._source,
            id=attempt.id,
            time_us=attempt.began_us,
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
            tags={"request": attempt.request} if attempt.request else {},
            **attempt.run,  # type: ignore[arg-type]
        )
        future = self._group.submit(event)
        future.add_done_callback(self._look)
        return future

    def _look(self, future: asyncio.Future[Receipt]) -> None:
        """Nobody may be waiting for this one: what goes wrong is counted and said all the same."""
        if future.cancelled():
            return
        error = future.exception()
        if error is not None or not future.result().durable:
            self.lost += 1
            log.error("an event was not stored: %s", error or future.result().note)


def durable(future: asyncio.Future[Receipt]) -> bool:
    """Whether the event of a future that is done can be relied on."""
    return not future.cancelled() and future.exception() is None and future.result().durable


