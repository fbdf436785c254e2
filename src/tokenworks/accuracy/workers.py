"""Processes that share the rows among them."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.pool import Pool


def workers(processes: int) -> Pool:
    """Forked, so that they have what this process has read and compiled."""
    return multiprocessing.get_context("fork").Pool(processes, _deaf)


def _deaf() -> None:
    """Ctrl-C reaches every process of a terminal: this one answers it and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
