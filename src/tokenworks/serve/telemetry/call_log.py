"""A line of JSON for each attempt: what its event says, and the trace that it belongs to. No prompt, no answer, no key."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

import msgspec

from tokenworks.errors import OutputError
from tokenworks.events.ledger_events import UsageEvent
from tokenworks.serve.telemetry.trace import Trace, span_of

STANDARD_ERROR = "stderr"


class CallLog:
    """An observer. Lines are written by a thread of their own: a slow disk holds nobody up."""

    def __init__(self, place: str):
        """``place``: a file, which is appended to, or ``stderr``. Raises OutputError."""
        self._encode = msgspec.json.Encoder().encode
        self._queue: SimpleQueue[tuple[UsageEvent, Trace | None] | None] = SimpleQueue()
        self._file = _opened(place)
        self._thread = threading.Thread(target=self._write, name="call log", daemon=True)
        self._thread.start()

    def observe(self, event: UsageEvent, trace: Trace | None) -> None:
        self._queue.put((event, trace))

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            self._file.write(self._encode(_line(*item)) + b"\n")
            if self._queue.empty():
                self._file.flush()

    async def close(self) -> None:
        """Writes what is queued."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._file.flush()
        if self._file is not sys.stderr.buffer:
            self._file.close()


def _line(event: UsageEvent, trace: Trace | None) -> dict[str, object]:
    line = {**msgspec.to_builtins(event), "type": "call"}
    if trace:
        line |= {"trace_id": trace.id, "span_id": span_of(event.id)}
    return line


def _opened(place: str) -> BinaryIO:
    if place == STANDARD_ERROR:
        return sys.stderr.buffer
    try:
        return open(Path(place), "ab")
    except OSError as error:
        raise OutputError(f"cannot write the log of calls {place}: {error.strerror}") from error
