"""One service as the gateway knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tokenworks.serve.telemetry.metrics import ServiceMetrics, upstream_labels
from tokenworks.serve.upstreams.fair_queue import FairQueue
from tokenworks.serve.upstreams.fed import Fed
from tokenworks.serve.upstreams.hedging import Hedging
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.upstream import Upstream


class Place(NamedTuple):
    """Of one upstream."""

    router: Router
    position: int

    @property
    def upstream(self) -> Upstream:
        return self.router.upstreams[self.position]

    def drain(self, drained: bool) -> None:
        self.router.drain(self.position, drained)


@dataclass
class Served:
    """A service with its upstreams. ``model``: its catalogue id, under which its tokens are metered. ``standby``: services
    that stand in for it. ``queue``: where requests wait while its upstreams are full; None: they are refused. ``hedging``:
    when a second upstream is asked beside the first; None: never. ``fed``: its replicas under a power budget, by pool. ``prefill``:
    the pool that reads prompts, where ``router`` has the one that answers; None: its upstreams do both."""

    name: str
    model: str
    router: Router
    retries: int
    created_s: int
    speaks: frozenset[str] = frozenset(
        {"chat"}
    )  # what all of its upstreams serve themselves: chat, responses, messages
    keyed: bool = False  # an upstream takes a key of the gateway's, under which a provider may keep things
    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)
    standby: tuple[Served, ...] = ()
    queue: FairQueue | None = None
    hedging: Hedging | None = None
    fed: dict[str, Fed] = field(default_factory=dict)
    prefill: Router | None = None

    def pool(self, role: str | None) -> Router:
        """Its upstreams, or those of one of its pools."""
        return self.prefill if self.prefill and role == "prefill" else self.router

    @property
    def routers(self) -> tuple[Router, ...]:
        """Of all its upstreams."""
        return (self.router,) if self.prefill is None else (self.prefill, self.router)

    @property
    def places(self) -> list[Place]:
        """Of all upstreams, by the numbers that metrics and the admin API have for them: as the file lists them, those of a
        prefill pool before those of its decode pool."""
        return [Place(router, i) for router in self.routers for i in router.positions]

    def labels(self, number: int) -> str:
        """Of an upstream in metrics."""
        return upstream_labels(self.name, number, self.places[number].upstream.role or "")
