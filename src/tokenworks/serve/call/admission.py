"""A call gets its place at an upstream: at once, or when its turn in the queue has come."""

from __future__ import annotations

from collections.abc import Callable

from tokenworks.serve.call.course import Course
from tokenworks.serve.call.demands import priority
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.fair_queue import FairQueue, Waiting

FAULT = Refused(500, "internal_error", "the gateway failed to handle this call")


class Admission:
    """Of one call of a service that has a queue. ``ready``: called once a place was found later; ``refuse``: where none was."""

    __slots__ = ("_course", "_now", "_queue", "_ready", "_refuse", "_waiting")

    def __init__(
        self, course: Course, queue: FairQueue, now: Callable[[], float], ready: Callable[[], None],
        refuse: Callable[[Refused], None],
    ):  # fmt: skip
        self._course, self._queue, self._now, self._ready, self._refuse = course, queue, now, ready, refuse
        self._waiting: Waiting | None = None

    def enter(self, tenant: str, headers: dict[bytes, bytes]) -> bool:
        """Whether it has its place now; nobody overtakes those who wait. Raises Refused where it may not wait, either."""
        if not self._queue.length and self._begun():
            return True
        self._waiting = self._queue.enter(tenant, priority(headers), self._called, self._refused)
        return False

    def _begun(self) -> bool:
        """Whether there is a place. Raises Refused where the reason is another."""
        try:
            self._course.begin(self._now())
        except Refused as refused:
            if refused.code != "busy":
                raise
            return False
        return True

    def _called(self) -> bool:
        """Its turn has come. Whether it needs the queue no more. What it raises its caller has heard of; it has no place then."""
        try:
            if not self._begun():
                return False
            self._waiting = None
            self._ready()
        except Refused as refused:
            self._give_up(refused)
        except Exception:
            self._give_up(FAULT)
            raise
        return True

    def _give_up(self, refused: Refused) -> None:
        self._course.undecided()
        self._course.leave()
        self._refused(refused)

    def _refused(self, refused: Refused) -> None:
        self._waiting = None
        self._refuse(refused)

    def leave(self) -> bool:
        """Whether it was still waiting."""
        if self._waiting is None:
            return False
        self._queue.leave(self._waiting)
        return True
