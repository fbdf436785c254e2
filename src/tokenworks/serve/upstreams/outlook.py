"""What a gateway learns of its engines beside their answers: their metrics pages and their KV events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.upstreams.kv_subscription import KvSubscription
from tokenworks.serve.upstreams.lookout import Lookout
from tokenworks.serve.upstreams.served import Served


class Outlook:
    """Of the services as they are at present."""

    def __init__(self, sweep: Sweep, loop: asyncio.AbstractEventLoop):
        self._sweep, self._loop = sweep, loop
        self._lookout: Lookout | None = None
        self._events: KvSubscription | None = None

    def turn_to(self, services: Sequence[Served], interval_s: float) -> None:
        """Looks at these from now on. Raises InputError where what that needs is not installed: then nothing has changed."""
        events, lookout = KvSubscription(services), Lookout(services, interval_s)
        self.stop()
        lookout.start(self._sweep, self._loop)
        events.start(self._loop)
        self._lookout, self._events = lookout, events

    def stop(self) -> None:
        if self._lookout and self._events:
            self._lookout.stop()
            self._events.stop()
