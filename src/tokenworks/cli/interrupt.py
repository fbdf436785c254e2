"""Ctrl-C as a request to stop soon: the first asks, the second breaks off."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SAID = "stopping: the report covers what is simulated so far (Ctrl-C again: at once)"


@contextmanager
def asked_to_stop(said: str = SAID) -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether Ctrl-C was pressed, which is answered with ``said``. A second one raises
    KeyboardInterrupt at once."""
    pressed = [0]

    def press(_signal: int, _frame: FrameType | None) -> None:
        pressed[0] += 1
        if pressed[0] > 1:
            raise KeyboardInterrupt
        print(said, file=sys.stderr)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed[0] > 0
    finally:
        signal.signal(signal.SIGINT, before)
