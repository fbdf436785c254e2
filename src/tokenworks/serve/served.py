"""One service as the gateway knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenworks.serve.fair_queue import FairQueue
from tokenworks.serve.hedging import Hedging
from tokenworks.serve.metrics import ServiceMetrics
from tokenworks.serve.routing import Router


@dataclass
class Served:
    """A service with its upstreams. ``model``: its catalogue id, under which its tokens are metered. ``standby``: services
    that stand in for it. ``queue``: where requests wait while its upstreams are full; None: they are refused. ``hedging``:
    when a second upstream is asked beside the first; None: never. ``prefill``: the pool that reads prompts, where ``router`` has
    the one that answers; None: its upstreams do both."""

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
    prefill: Router | None = None

    @property
    def routers(self) -> tuple[Router, ...]:
        """Of all its upstreams."""
        return (self.router,) if self.prefill is None else (self.prefill, self.router)
