"""From an attempt to its token event, durable in the ledger before the caller gets the last byte."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent, UsageEvent
from tokenworks.ledger import Heard, Receipt
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused
from tokenworks.serve.ledger_health import LedgerHealth, Probed
from tokenworks.serve.telemetry.trace import Trace

log = logging.getLogger("tokenworks.serve")
FEW, LINGER_S = 4, 0.01  # events of a group after which nobody waits; how long others wait for company
LONGEST = 200  # characters of what a caller says about its run
PREFIX = b"x-tokenworks-"
FIELDS = ("root_run", "run", "parent_run", "agent", "purpose", "conversation")
HEADERS = tuple((PREFIX + name.replace("_", "-").encode(), name) for name in FIELDS)
STEP = PREFIX + b"step"
OF_RUNS = frozenset(dict(HEADERS)) | {STEP}


def run_of(headers: dict[bytes, bytes]) -> dict[str, str | int]:
    """What the caller says of its run (X-Tokenworks-Run, -Root-Run, -Parent-Run, -Agent, -Purpose, -Conversation, -Step), as
    fields of its event. Raises Refused for what is no line of text."""
    said: dict[str, str | int] = {}
    for header, name in HEADERS:
        if header in headers:
            said[name] = _line(name, headers[header])
    if "run" in said:
        said.setdefault("root_run", said["run"])
    step = headers.get(STEP)
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

    @property
    def ended_us(self) -> int:
        """The time of its event (decision 0017)."""
        return self.began_us + (self.duration_us or 0)


Then = Callable[[bool], None]  # told whether the event is durable
Before = Callable[[Attempt, Told, Then], Then]  # what has to happen before the ledger hears of it
Reading = Callable[[], Told]  # an answer's usage, which is read when its event is made


class Observer(Protocol):
    """Hears of every event as it is handed to the ledger, on the event loop."""

    def observe(self, event: UsageEvent, trace: Trace | None) -> None: ...


class Takes(Probed, Protocol):
    """What takes events."""

    def tell(self, event: AnyEvent, heard: Heard) -> None:
        """``heard`` is told once, later, when the event is durable or refused. Raises InputError for an event that is none."""


class Commits(Takes, Protocol):
    """The way into a ledger: in this process (``GroupCommit``) or in another (``LedgerLink``)."""

    def submit(self, event: AnyEvent) -> asyncio.Future[Receipt]:
        """The same with a future."""


class Meter:
    """Writes events. One group is under way at a time: what comes meanwhile goes together, so that under load many share a
    commit, for at most LINGER_S more, and alone nobody waits."""

    def __init__(self, group: Takes, source: str):
        self._group, self.source = group, source
        self._waiting: list[tuple[Attempt, Told | Reading, Then, Before]] = []
        self._under_way = self._last = 0
        self.lost = 0  # events that the ledger did not take
        self.health = LedgerHealth(group)
        self.observers: tuple[Observer, ...] = ()

    def write(self, attempt: Attempt, told: Told | Reading, then: Then, before: Before) -> None:
        """``then`` is called once, never from in here. The attempt does not change any more."""
        self._waiting.append((attempt, told, then, before))
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
        for attempt, told, then, before in waiting:
            self._tell(attempt, told, then, before)

    def _tell(self, attempt: Attempt, told: Told | Reading, then: Then, before: Before) -> None:
        """One that cannot be told to the ledger keeps no other from it."""
        try:
            told = told if isinstance(told, Told) else told()
            event = event_of(self.source, attempt, told)
            then = self._prepared(attempt, told, then, before)
            for observer in self.observers:
                observer.observe(event, attempt.trace)
            self._group.tell(event, partial(self._heard, then))
        except Exception as error:  # noqa: BLE001 - said, counted, and the caller hears of it
            asyncio.get_running_loop().call_soon(self._answered, then, error)
            if not isinstance(error, InputError):
                _defect(error)

    def _prepared(self, attempt: Attempt, told: Told, then: Then, before: Before) -> Then:
        """What goes wrong in the books of budgets keeps no event from the ledger; what was reserved then stays so."""
        try:
            return before(attempt, told, then)
        except Exception as error:  # noqa: BLE001
            _defect(error)
            return then

    def _heard(self, then: Then, said: Receipt | Exception) -> None:
        """From the ledger itself."""
        self.health.heard(said)
        self._answered(then, said)

    def _answered(self, then: Then, said: Receipt | Exception) -> None:
        """Nobody may be waiting for this one: what goes wrong is counted and said all the same. One that cannot bear the news
        keeps nobody else from his."""
        self._under_way -= 1
        durable = isinstance(said, Receipt) and said.durable
        if not durable:
            self.lost += 1
            log.error("an event was not stored: %s", said.note or said.status if isinstance(said, Receipt) else said)
        if not self._under_way and self._waiting:
            self._later()
        try:
            then(durable)
        except Exception as error:  # noqa: BLE001
            _defect(error)

    async def settle(self) -> None:
        """Until everything that was written is durable or counted as lost, and the ledger is not probed any more."""
        while self._under_way or self._waiting or self.health.probing:
            await asyncio.sleep(0.002)


def _defect(error: Exception) -> None:
    """Of ours, and the loop's to tell."""
    asyncio.get_running_loop().call_exception_handler({"message": "while an event was metered", "exception": error})


def event_of(source: str, attempt: Attempt, told: Told) -> UsageEvent:
    buckets = told.buckets
    return UsageEvent(
        source=source,
        id=attempt.id,
        time_us=attempt.ended_us,
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

    def write(self, attempt: Attempt, told: Told | Reading, then: Then, before: Before) -> None:
        then = before(attempt, told if isinstance(told, Told) else told(), then)
        asyncio.get_running_loop().call_soon(then, True)


UNMETERED = Unmetered()


def nobody(_durable: bool) -> None:
    """For events that no answer waits for."""


def unchanged(_attempt: Attempt, _told: Told, then: Then) -> Then:
    """For events that nothing has to come before."""
    return then
