"""Which worker of a plan stands on which system: what a rack layout draws and whoever installs it needs.

No worker is cut by a border of systems that it could stand inside of, prefill and decode take turns so that pairs are near
each other, spare systems, the last ones, stay empty. The largest workers are placed first, each on the first system with
room (first fit decreasing). Systems are counted so that each worker takes 1 ÷ (workers of its size that fit) of one: where
sizes divide the system they always suffice; of 20,000 random mixtures with other sizes 11 found no room.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.errors import CapacityError
from tokenworks.plan.result import Option, Setup, Systems


@dataclass(frozen=True)
class Seat:
    """A worker, or its part on one system."""

    setup: int  # index into the plan's setups
    role: str  # worker, prefill, decode
    number: int  # of the worker in its pool, from 1
    gpus: int  # here


@dataclass(frozen=True)
class Stand:
    """One system with what stands on it."""

    system: str
    pay: str
    number: int  # among those of its kind, from 1
    gpus: int
    spare: bool
    seats: tuple[Seat, ...]

    @property
    def idle_gpus(self) -> int:
        return self.gpus - sum(seat.gpus for seat in self.seats)


def stands(option: Option) -> tuple[Stand, ...]:
    """All systems of a plan, kind by kind. Raises CapacityError where its workers do not fit them."""
    return tuple(stand for kind in option.systems for stand in _of_kind(option, kind))


def _of_kind(option: Option, kind: Systems) -> list[Stand]:
    size, used = kind.gpus // kind.count, kind.count - kind.spares
    room, seats = [size] * used, [[] for _ in range(kind.count)]  # type: list[int], list[list[Seat]]
    for worker in _workers(option, kind):
        for place, gpus in _places(worker.gpus, size, room):
            room[place] -= gpus
            seats[place].append(Seat(worker.setup, worker.role, worker.number, gpus))
    return [
        Stand(kind.system, kind.pay, i + 1, size, i >= used, tuple(sorted(seats[i], key=_order)))
        for i in range(kind.count)
    ]


def _order(seat: Seat) -> tuple[int, str, int]:
    return seat.setup, seat.role, seat.number


def _workers(option: Option, kind: Systems) -> list[Seat]:
    """In the order in which they are placed: the largest first, pools of a setup in turns by the share of them that stands."""
    found = [
        (-gpus, i, number / count, Seat(i, role, number, gpus))
        for i, setup in enumerate(option.setups)
        if (setup.system, setup.pay) == (kind.system, kind.pay)
        for role, count, gpus in pools(setup)
        for number in range(1, count + 1)
    ]
    return [seat for *_, seat in sorted(found, key=lambda one: one[:3])]


def pools(setup: Setup) -> list[tuple[str, int, int]]:
    """(role, workers, GPUs of one) of each pool."""
    if not setup.prefill_workers:
        return [("worker", setup.workers, setup.worker_gpus)]
    return [
        ("prefill", setup.prefill_workers, setup.prefill_worker_gpus),
        ("decode", setup.workers, setup.worker_gpus),
    ]


def _places(gpus: int, size: int, room: list[int]) -> list[tuple[int, int]]:
    """(system, GPUs there) of one worker: the first with room; several empty ones for what is larger than one."""
    if gpus <= size:
        found = next((i for i, free in enumerate(room) if free >= gpus), None)
        if found is not None:
            return [(found, gpus)]
    else:
        empty = [i for i, free in enumerate(room) if free == size][: -(-gpus // size)]
        if len(empty) * size >= gpus:
            return [(place, min(size, gpus - n * size)) for n, place in enumerate(empty)]
    raise CapacityError(f"a worker of {gpus} GPUs finds no room on systems of {size}")
