"""The gateway processes of one port, as one of them sees them: what one is asked to change, all change.

A change goes to the supervisor, which tells all processes and those that it will start; it is answered when all have done it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokenworks.serve.admin import Then
from tokenworks.serve.pages.board import Board
from tokenworks.serve.processes.orders import say
from tokenworks.serve.processes.settings import Done, Drain
from tokenworks.serve.upstreams.served import Served


class Fellows:
    def __init__(self, board: Board):
        self._board = board
        self._waiting: dict[int, Then] = {}
        self._number = 0

    def drain(self, served: Served, upstream: int, drained: bool, then: Then) -> None:
        """Wants it of all; ``then`` hears why it may not hold, "" where it does."""
        self._number += 1
        self._waiting[self._number] = then
        say(Drain(self._number, served.name, upstream, served.places[upstream].upstream.url, drained))

    def answered(self, done: Done) -> None:
        self._waiting.pop(done.number)(done.trouble)

    def gauge(self, name: str, labels: str) -> int:
        """Of all processes."""
        return self._board.gauge(name, labels)

    def do(self, order: Drain, services: Sequence[Served], put: Callable[[], None]) -> None:
        """In this process. ``put``: puts its counters down, so that whoever reads them after the answer sees what is still
        under way."""
        served = next((s for s in services if s.name == order.service), None)
        if served and [p.upstream.url for p in served.places][order.upstream : order.upstream + 1] == [order.url]:
            served.places[order.upstream].drain(order.drained)
        put()
        say(Done(order.number))
