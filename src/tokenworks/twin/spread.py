"""Tasks shared out over processes of this machine or over a Ray cluster.

What a task comes to must depend on the task alone: then it does not matter who did it, or in which order.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

Task = TypeVar("Task")
Found = TypeVar("Found")
Stop = Callable[[], bool]
Done = tuple[int, Found]  # number of the task, what it came to


@dataclass(frozen=True)
class Crew:
    """Who works: ``size`` processes of this machine, or as many tasks at a time on Ray."""

    size: int = 1
    ray: bool = False


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[[Task], Found], tasks: Sequence[Task], crew: Crew, stop: Stop = lambda: False
) -> Iterator[Done[Found]]:
    """(number, what ``work`` made of the task) as tasks finish. Once ``stop`` says so no task begins any more; those
    under way are finished and given. ``work`` and what it returns must pickle.

    Raises what ``work`` raises, MemoryError where a process was ended from outside, InputError where Ray is missing.
    """
    if crew.ray:
        from tokenworks.twin.spread_ray import on_ray

        yield from on_ray(work, tasks, crew.size, stop)
    elif crew.size <= 1 or len(tasks) <= 1:
        for number, task in enumerate(tasks):
            if stop():
                return
            yield number, work(task)
    else:
        yield from _on_processes(work, tasks, min(crew.size, len(tasks)), stop)


def in_turns(
    tasks: Sequence[Task],
    size: int,
    stop: Stop,
    send: Callable[[Task], Any],
    first: Callable[[list[Any]], Iterable[tuple[Any, Found]]],
) -> Iterator[Done[Found]]:
    """At most ``size`` tasks under way. ``send`` begins one and returns its ticket; ``first`` waits for one ticket at
    least and returns those that are done with what they came to."""
    left, under_way = iter(enumerate(tasks)), dict[Any, int]()
    while True:
        while len(under_way) < size and not stop() and (following := next(left, None)):
            under_way[send(following[1])] = following[0]
        if not under_way:
            return
        for ticket, found in first(list(under_way)):
            yield under_way.pop(ticket), found


def _on_processes(work: Callable[[Task], Found], tasks: Sequence[Task], size: int, stop: Stop) -> Iterator[Done[Found]]:
    """Forked, so that they have what this process has read and compiled."""
    others = set(active_children())
    pool = ProcessPoolExecutor(size, get_context("fork"), initializer=_enter, initargs=(os.getpid(),))
    try:
        yield from in_turns(tasks, size, stop, lambda task: pool.submit(work, task), _first)
        pool.shutdown()
    except BrokenProcessPool:
        said = "a worker process was ended from outside; fewer processes need less memory"
        raise MemoryError(said) from None
    finally:
        for child in set(active_children()) - others:  # broken off: what they would come to is not wanted
            child.terminate()
        # Its thread ends here: at the interpreter's end Python would wake it by a pipe that it may just be closing.
        pool.shutdown(cancel_futures=True)


def _first(tickets: list[Future[Found]]) -> Iterator[tuple[Future[Found], Found]]:
    for ticket in wait(tickets, return_when=FIRST_COMPLETED).done:
        yield ticket, ticket.result()


def _enter(parent: int) -> None:
    """Ctrl-C reaches every process of a terminal: the parent answers it. A worker does not outlive its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
