"""A thread beside the twin: it takes the requests that leave, chunk by chunk, while the kernel computes on.

At most MOST_WAITING chunks wait, so memory does not grow with the run: a twin that is faster than the work waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Event
from types import TracebackType
from typing import Generic, Literal, TypeAlias, TypeVar

from tokenworks.twin.cell import Departed

Result = TypeVar("Result")
Sign: TypeAlias = Literal["end", "given up"]
MOST_WAITING = 2


class GivenUpError(Exception):
    """The run failed: what the work has begun must not stay."""


class Handover(Generic[Result]):
    """``work`` gets the chunks of one run and returns when there are no more; use as a context, as the twin's sink in it.

    Where the run fails, ``work`` sees GivenUpError. Where ``work`` fails, its error ends the run at the next chunk.
    """

    def __init__(self, work: Callable[[Iterator[Departed]], Result]):
        self._work = work
        self._waiting: Queue[Departed | Sign] = Queue(MOST_WAITING)
        self._stopped = Event()
        self._ended = self._over = False  # the twin's side has ended; the work's side has seen it

    def __enter__(self) -> Handover[Result]:
        self._pool = ThreadPoolExecutor(1, "handover")
        self._done = self._pool.submit(self._run)
        return self

    def __call__(self, chunk: Departed) -> None:
        if self._stopped.is_set():
            self.result()
        self._waiting.put(chunk)

    def result(self) -> Result:
        """What ``work`` returned, once it has; raises what it raised. No chunk may follow."""
        self._end("end")
        return self._done.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("end" if kind is None else "given up")
        self._pool.shutdown()

    def _end(self, sign: Sign) -> None:
        if not self._ended:
            self._ended = True
            self._waiting.put(sign)

    def _run(self) -> Result:
        try:
            return self._work(self._chunks())
        finally:
            self._stopped.set()
            while not self._over:  # the twin never waits for work that has stopped
                self._next()

    def _next(self) -> Departed | Sign:
        chunk = self._waiting.get()
        self._over = isinstance(chunk, str)
        return chunk

    def _chunks(self) -> Iterator[Departed]:
        while not isinstance(chunk := self._next(), str):
            yield chunk
        if chunk == "given up":
            raise GivenUpError
