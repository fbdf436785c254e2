"""An emulated worker: a live twin worker that wakes when a step is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tokenworks.physics.worker_model import WorkerModel
from tokenworks.serve.emulate.clock import Clock
from tokenworks.twin.live import LiveWorker
from tokenworks.twin.reference import Request

Tell = Callable[[int, bool, int], None]  # new tokens, whether they were the last, microjoules so far


class EmulatedWorker:
    """Steps begin where the ones before them ended, however late the machine woke: emulated time does not drift."""

    def __init__(self, model: WorkerModel, clock: Clock, loop: asyncio.AbstractEventLoop):
        self._worker, self._clock, self._loop = LiveWorker(model), clock, loop
        self._tell: dict[int, Tell] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.late_s = 0.0  # the most that a step's tokens were told after their time

    def ask(self, prompt: int, output: int, tell: Tell) -> Request | None:
        """None where the request does not fit the worker."""
        now = self._clock.now()
        self._advance(now)
        request = self._worker.enter(prompt, output, now)
        if request is not None:
            self._tell[request.number] = tell
            self._set()
        return request

    def drop(self, request: Request) -> None:
        self._tell.pop(request.number, None)
        self._worker.drop(request)

    def _advance(self, now: int) -> None:
        for tick, steps in self._worker.advance(now):
            self.late_s = max(self.late_s, (now - tick) / 1e11 / self._clock.speed)
            for step in steps:
                tell = self._tell.get(step.request.number)
                if tell is None:
                    continue
                if step.finished:
                    del self._tell[step.request.number]
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
