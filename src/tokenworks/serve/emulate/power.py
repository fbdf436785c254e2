"""What the boards of an emulated worker draw, from the twin's worker model: dynamic joules by step, static draw by time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S, WorkerModel
from tokenworks.twin.live import LiveWorker

MICROWATTS_TICKS_PER_MICROJOULE = TICKS_PER_S
MEAN_S = 1.0  # that a board's power is the mean of, as NVML says it
MARK_S = 0.1  # between readings that are kept for that mean


@dataclass(frozen=True, slots=True)
class Energy:
    """Microjoules since the worker began: of its steps, of static draw while it stepped, of static draw while it did not."""

    dynamic_uj: int
    static_uj: int
    idle_uj: int

    @property
    def total_uj(self) -> int:
        return self.dynamic_uj + self.static_uj + self.idle_uj


class Power:
    """Of one worker. Ticks in which it is off draw nothing."""

    def __init__(self, worker: LiveWorker, speed: float, on: bool):
        self._worker = worker
        self._active_uw, self._idle_uw = static_microwatts(worker.model)
        self._mean_ticks = round(MEAN_S * speed * TICKS_PER_S)  # a second of whoever reads
        self._mark_ticks = round(MARK_S * speed * TICKS_PER_S)
        self._marks: deque[tuple[int, int]] = deque([(0, 0)])
        self._off_ticks, self._off_since = 0, -1 if on else 0

    def energy(self, now: int) -> Energy:
        """At a tick to which the worker has been advanced. A step's dynamic joules count when it ends, as in the twin."""
        busy = self._worker.busy_ticks(now)
        off = self._off_ticks + (now - self._off_since if self._off_since >= 0 else 0)
        static = self._active_uw * busy
        both = (static + self._idle_uw * max(0, now - busy - off)) // MICROWATTS_TICKS_PER_MICROJOULE
        static //= MICROWATTS_TICKS_PER_MICROJOULE
        return Energy(self._worker.dynamic_uj, static, both - static)

    def mark(self, now: int) -> None:
        """Keeps a reading for the mean, where the last one is not of just now."""
        if now - self._marks[-1][0] < self._mark_ticks:
            return
        self._marks.append((now, self.energy(now).total_uj))
        while now - self._marks[1][0] >= self._mean_ticks:
            self._marks.popleft()

    def watts(self, now: int) -> float:
        """The mean of the last second; of longer where nothing was read for longer."""
        self.mark(now)
        begin, before_uj = self._marks[0]
        if now <= begin:
            return self._idle_uw / MICROJOULES_PER_J if self._off_since < 0 else 0.0
        return (self.energy(now).total_uj - before_uj) / MICROJOULES_PER_J / ((now - begin) / TICKS_PER_S)

    def turn(self, on: bool, now: int) -> None:
        """A replica that is taken away draws nothing until it is started again."""
        if on and self._off_since >= 0:
            self._off_ticks += now - self._off_since
            self._off_since = -1
        elif not on and self._off_since < 0:
            self._off_since = now


def static_microwatts(model: WorkerModel) -> tuple[int, int]:
    """(while it steps, while it does not), rounded as the twin rounds them."""
    return round(model.levels[0].active_w * 10**6), round(model.idle_w * 10**6)
