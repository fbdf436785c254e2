"""A bench: find out what the server is called and counts, play the requests, work out the figures."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tokenworks.serve.bench.answer import Answer
from tokenworks.serve.bench.asking import Wanted, asking_of
from tokenworks.serve.bench.connection import Connections
from tokenworks.serve.bench.demand import Demand
from tokenworks.serve.bench.generator import enough_files, no_long_collections, refuse_late
from tokenworks.serve.bench.measures import NO_OBJECTIVES, Figures, Objectives, figures
from tokenworks.serve.bench.order import Clients, Order
from tokenworks.serve.bench.player import Played, Player, Stop
from tokenworks.serve.bench.prompts import Asking, Prompts

Loops = Callable[[], asyncio.AbstractEventLoop]


@dataclass(frozen=True)
class Settings:
    """How a bench is done."""

    wanted: Wanted
    demand: Demand
    warmup_s: float = 0.0
    timeout_s: float = 600.0
    most_late_s: float = 0.02  # the generator's own lateness that is still reported
    objectives: Objectives = NO_OBJECTIVES
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True)
class BenchResult:
    """Everything about one bench."""

    url: str
    model: str
    dialect: str
    demand: Demand
    lengths: str  # how prompts were made as long as they are
    settings: Settings = field(repr=False)
    figures: Figures
    answers: tuple[Answer, ...] = field(repr=False)
    started: str  # ISO, UTC
    ended: str
    cpu_share: float  # of one core, that the generator used
    connections: int
    unfinished: int
    never_sent: int
    interrupted: bool


def bench(
    settings: Settings, say: Callable[[str], None] = lambda _: None, stop: Stop = lambda: False,
    loops: Loops | None = None,
) -> BenchResult:  # fmt: skip
    """Raises InputError where the server is not there, answers nothing, or the generator itself was the limit."""
    enough_files(settings.demand)
    with asyncio.Runner(loop_factory=loops) as runner:
        return runner.run(bench_here(settings, say, stop))


async def bench_here(settings: Settings, say: Callable[[str], None], stop: Stop) -> BenchResult:
    """The same inside a loop that runs already."""
    connections = Connections(settings.wanted.address, settings.trust)
    try:
        say("asking the server")
        asking, lengths = await asking_of(settings.wanted, connections)
        prompts = Prompts(asking, settings.demand.requests)
        say("making prompts")
        prompts.prepare()
        say("sending requests")
        started, cpu_s = datetime.now(UTC), time.process_time()
        player = Player(
            settings.demand.requests, prompts, connections, _order(settings.demand), settings.timeout_s, stop
        )
        with no_long_collections():
            played = await player.play()
        cpu_s = time.process_time() - cpu_s
    finally:
        connections.close()
    return _result(
        settings, asking, lengths, played, started, cpu_s / max(played.span_s, 1e-9), connections.opened, stop()
    )


def _result(
    settings: Settings, asking: Asking, lengths: str, played: Played, started: datetime, cpu_share: float,
    opened: int, interrupted: bool,
) -> BenchResult:  # fmt: skip
    found = figures(played, settings.warmup_s, settings.objectives)
    refuse_late(found, settings.most_late_s, cpu_share)
    return BenchResult(
        asking.address.root, asking.model, asking.address.dialect, settings.demand, lengths, settings, found,
        tuple(sorted(played.answers, key=lambda a: a.number)), started.isoformat(), datetime.now(UTC).isoformat(),
        cpu_share, opened, played.unfinished, played.never_sent, interrupted,
    )  # fmt: skip


def _order(demand: Demand) -> Order | Clients:
    return Order(demand.requests) if demand.clients is None else Clients(demand.requests, demand.clients)
