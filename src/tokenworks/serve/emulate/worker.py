"""An emulated worker: a live twin worker that wakes when a step is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tokenworks.physics.worker_model import WorkerModel
from tokenworks.serve.emulate.clock import Clock
from tokenworks.serve.emulate.counts import Counts
from tokenworks.serve.emulate.loaded import Loaded
from tokenworks.serve.emulate.power import Energy, Power
from tokenworks.twin.live import LiveWorker
from tokenworks.twin.reference import Rank, Request

Tell = Callable[[int, bool, int], None]  # new tokens, whether they were the last, microjoules so far


class EmulatedWorker:
    """Steps begin where the ones before them ended, however late the machine woke: emulated time does not drift."""

    def __init__(
        self,
        model: WorkerModel,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        loaded: Loaded | None = None,
        on: bool = True,
        role: str | None = None,
        name: str = "",
    ):
        """``on`` False: its boards draw nothing until they are turned on. ``role``: prefill or decode, of a worker of a pool;
        ``name``: its engine id."""
        self._worker, self._clock, self._loop = LiveWorker(model, role), clock, loop
        self.role, self.name = role, name
        self._told = 0  # the tick up to which its steps are told
        self.model, self.loaded, self.speed = model, loaded or Loaded(), clock.speed
        self.counts, self._power = Counts(), Power(self._worker, clock.speed, on)
        self._tell: dict[int, Tell] = {}
        self._embeds: set[int] = set()  # requests that want a vector, no answer
        self._timer: asyncio.TimerHandle | None = None
        self.late_s = 0.0  # the most that a step's tokens were told after their time

    def ask(self, prompt: int, output: int, tell: Tell) -> Request | None:
        """None where the request does not fit the worker."""
        now = self._clock.now()
        self._advance(now)
        return self._entered(self._worker.enter(prompt, output, now), tell)

    # ------------------------------------------------------------------ from pool to pool

    def fill(self, prompt: int, tell: Tell) -> Request | None:
        """A prompt whose answer a decode worker gives; ``tell`` hears of its first token."""
        now = self._clock.now()
        self._advance(now)
        return self._entered(self._worker.fill(prompt, now), tell)

    def fetchable(self, request: Request) -> int:
        """The tick at which what a prompt has filled is at a decode worker."""
        return self._worker.fetchable(request)

    def could_hold(self, prompt: int, output: int) -> bool:
        """Whether it has the KV blocks for a request of so many tokens, where nobody else is there."""
        return -(-(prompt + max(1, output) - 1) // self.model.block_tokens) <= self.model.kv_blocks

    def wait_s(self, tick: int) -> float:
        return self._clock.wait_s(tick)

    def release(self, request: Request, tick: int) -> None:
        """Its KV cache is fetched: at ``tick``, unless later steps were told already."""
        self._advance(tick)
        self._worker.release(request, max(tick, self._told))
        self._set()

    def take_over(self, filled: Request, output: int, tick: int, tell: Tell) -> Request | None:
        """A prompt that a prefill worker has read is here at ``tick``; ``tell`` hears of all tokens but the first."""
        self._advance(tick)
        return self._entered(self._worker.take_over(filled, output, max(tick, self._told)), tell)

    def _entered(self, request: Request | None, tell: Tell) -> Request | None:
        if request is not None:
            self._tell[request.number] = tell
            self._set()
        return request

    def embed(self, prompt: int, tell: Tell) -> Request | None:
        """A prefill and no more: as a request of one token, which is not counted as one."""
        request = self.ask(prompt, 1, tell)
        if request is not None:
            self._embeds.add(request.number)
        return request

    def drop(self, request: Request) -> None:
        self._tell.pop(request.number, None)
        self._embeds.discard(request.number)
        self._worker.drop(request)

    # ------------------------------------------------------------------ what it shows

    @property
    def ranks(self) -> list[Rank]:
        return self._worker.ranks

    @property
    def preempted(self) -> int:
        return self._worker.preempted

    def energy(self) -> Energy:
        """Of its boards, up to now."""
        return self._power.energy(self._present())

    def watts(self) -> float:
        return self._power.watts(self._present())

    def turn(self, on: bool) -> None:
        """Its boards draw nothing while it is off. Calls that it has are not touched."""
        self._power.turn(on, self._present())

    def _present(self) -> int:
        """Now, with the steps told that have ended."""
        now = self._clock.now()
        self._advance(now)
        self._set()
        return now

    # ------------------------------------------------------------------ steps

    def _advance(self, now: int) -> None:
        self._told = max(self._told, now)
        for tick, steps in self._worker.advance(now):
            self._power.mark(tick)
            self.late_s = max(self.late_s, (now - tick) / 1e11 / self._clock.speed)
            for step in steps:
                number = step.request.number
                self.counts.took(step, tick, number not in self._embeds)
                tell = self._tell.get(number)
                if tell is None:
                    continue
                if step.finished:
                    del self._tell[number]
                    self._embeds.discard(number)
                tell(step.tokens, step.finished, step.energy_uj)

    def _set(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._worker.due is not None:
            self._timer = self._loop.call_later(self._clock.wait_s(self._worker.due), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._advance(self._clock.now())
        self._set()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
