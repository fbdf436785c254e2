"""Plays requests against a server on the wall clock, each at its time, whatever became of those before it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tokenworks.events.requests import Requests
from tokenworks.serve.bench.answer import Answer, Reader
from tokenworks.serve.bench.connection import ClosedEarlyError, Connections
from tokenworks.serve.bench.order import Clients, Due, Order
from tokenworks.serve.bench.prompts import Prompts
from tokenworks.serve.bench.pulse import Pulse
from tokenworks.serve.bench.response import BadResponseError

LEAD_S = 0.05  # before the first request: everything is ready by then
EARLY_S = 1e-6  # a loop's timers may fire that much before their time
Stop = Callable[[], bool]


@dataclass
class Played:
    """What came of it."""

    answers: list[Answer] = field(default_factory=list)  # that ended, in order of their ends
    unfinished: int = 0  # begun when the bench was stopped
    never_sent: int = 0  # their predecessor failed, or the bench was stopped
    lags_s: list[float] = field(default_factory=list)  # how late the generator's own loop woke, every 10 ms
    span_s: float = 0.0


class Player:
    """One bench."""

    def __init__(
        self, requests: Requests, prompts: Prompts, connections: Connections, order: Order | Clients,
        timeout_s: float, stop: Stop = lambda: False,
    ):  # fmt: skip
        self._requests, self._prompts, self._connections = requests, prompts, connections
        self._order, self._timeout_s, self._stop = order, timeout_s, stop
        self._due, self._running = list[Due](), set[asyncio.Task[None]]()
        self._played, self._wake = Played(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._start_s = 0.0
        self._broken: BaseException | None = None

    async def play(self) -> Played:
        """Until every request has ended, or the stop."""
        self._start_s = self._loop.time() + LEAD_S
        self._schedule(self._order.first())
        pulse = Pulse(self._loop, lambda: self._wake.set() if self._stop() else None)
        with pulse:
            while (self._due or self._running) and not self._stop():
                self._send_due()
                await self._until_next()
                if self._broken is not None:
                    raise self._broken
        await self._abandon()
        played = self._played
        played.span_s = self._now()
        played.lags_s = pulse.lags_s
        played.never_sent = len(self._requests) - len(played.answers) - played.unfinished
        return played

    def _now(self) -> float:
        return self._loop.time() - self._start_s

    def _schedule(self, found: Iterable[Due]) -> None:
        for due in found:
            heappush(self._due, due)

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= self._now() + EARLY_S:
            at_s, number = heappop(self._due)
            task = self._loop.create_task(self._one(number, at_s))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error  # a defect of ours: never to be taken for one of the server

    async def _until_next(self) -> None:
        """Until the next request is due, or one has ended."""
        self._wake.clear()
        alarm = self._loop.call_at(self._start_s + self._due[0][0], self._wake.set) if self._due else None
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    async def _abandon(self) -> None:
        tasks = list(self._running)
        self._played.unfinished = len(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, number: int, at_s: float) -> None:
        r = self._requests
        answer = Answer(number, at_s, int(r.input_tokens[number]), int(r.output_tokens[number]), int(r.session[number]))
        await self._ask(answer)
        answer.end_s = self._now()
        self._played.answers.append(answer)
        self._schedule(self._order.ended(number, answer.end_s, bool(answer.error)))

    async def _ask(self, answer: Answer) -> None:
        reader, request = Reader(answer, self._start_s), self._prompts.take(answer.number)
        answer.sent_s = self._now()
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._connections.ask(request, reader.take)
        except TimeoutError:
            answer.error, answer.said = "timed out", f"no end within {self._timeout_s:g} s"
        except ClosedEarlyError as error:
            answer.error, answer.said = "closed early", str(error)
        except BadResponseError as error:
            answer.error, answer.said = "not understood", str(error)
        except ssl.SSLError as error:
            answer.error, answer.said = "TLS", error.reason or str(error)
        except ConnectionRefusedError:
            answer.error = "refused"
        except OSError as error:
            answer.error, answer.said = "network", error.strerror or str(error)
        else:
            reader.close(response)
