"""Tasks on Ray: a cluster that RAY_ADDRESS names, else one of its own on this machine, ended with the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from tokenworks.errors import InputError
from tokenworks.twin.spread import Done, Stop, in_turns

Task = TypeVar("Task")
Found = TypeVar("Found")
ADDRESS = "RAY_ADDRESS"  # Ray's own variable


def on_ray(work: Callable[[Task], Found], tasks: Sequence[Task], size: int, stop: Stop) -> Iterator[Done[Found]]:
    """As `spread`. A task whose process or machine is lost is done again by Ray, which changes nothing: it comes to the
    same. On a cluster every node needs Tokenworks, and the files that a task names."""
    with _cluster(size) as ray:
        remote = ray.remote(work_of).options(num_cpus=1)
        shared = ray.put(work)

        def first(tickets: list[Any]) -> Iterable[tuple[Any, Found]]:
            ready, _ = ray.wait(tickets, num_returns=1)
            return [(ticket, ray.get(ticket)) for ticket in ready]

        yield from in_turns(tasks, size, stop, lambda task: remote.remote(shared, task), first)


def work_of(work: Callable[[Task], Found], task: Task) -> Found:
    """In a worker of Ray, which has unpacked both."""
    return work(task)


@contextmanager
def _cluster(size: int) -> Iterator[Any]:
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise InputError('--workers ray needs Ray, which is not installed: pip install "tokenworks[ray]"') from None
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    mine = not ray.is_initialized()
    if mine:
        there = os.environ.get(ADDRESS)
        try:
            ray.init(address=there, **quiet) if there else ray.init(address="local", num_cpus=size, **quiet)
        except Exception as error:
            raise InputError(f"Ray does not start: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()
