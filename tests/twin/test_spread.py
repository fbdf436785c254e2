"""Tasks on processes: all done, whoever does them; a worker that dies is named."""

import os
import signal
import threading
import time
from multiprocessing import active_children

import pytest

from tokenworks.twin.spread import Crew, spread


def square(x: int) -> int:
    return x * x


def mortal(x: int) -> int:
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def slow(x: int) -> int:
    time.sleep(60 * (x > 0))
    return x


def wrong(x: int) -> int:
    raise ValueError(f"task {x}")


@pytest.mark.parametrize("size", [1, 3])
def test_every_task_is_done_once(size):
    assert sorted(spread(square, range(20), Crew(size))) == [(i, i * i) for i in range(20)]


@pytest.mark.parametrize("size", [1, 2])
def test_stopped_it_gives_what_is_under_way_and_begins_no_more(size):
    done = []
    for number, found in spread(square, range(20), Crew(size), stop=lambda: len(done) >= 4):
        done.append((number, found))
    assert 4 <= len(done) <= 4 + size
    assert done == [(i, i * i) for i, _ in done]


def test_a_killed_worker_is_an_error_not_a_hang():
    with pytest.raises(MemoryError, match="ended from outside"):
        list(spread(mortal, range(6), Crew(2)))


def test_errors_of_a_task_are_raised_here():
    with pytest.raises(ValueError, match="task"):
        list(spread(wrong, range(4), Crew(2)))


def test_broken_off_it_leaves_neither_thread_nor_process():
    """Python 3.11 at its end wakes a pool's thread that is still there, by a pipe which that thread may just close."""
    threads, begun = set(threading.enumerate()), time.monotonic()
    found = spread(slow, range(4), Crew(2))
    assert next(found) == (0, 0)
    found.close()
    assert set(threading.enumerate()) <= threads
    assert not active_children()
    assert time.monotonic() - begun < 30
