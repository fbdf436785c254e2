"""Which upstreams take no new calls: the supervisor's word for all gateway processes, those to come too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tokenworks.serve.processes.keeper import Keeper
from tokenworks.serve.processes.settings import Done, Drain
from tokenworks.serve.upstreams.served import Served

CONFIRM_S = 20.0  # for all processes, also for one that is being started


class Drains:
    def __init__(self) -> None:
        self._drained: set[tuple[str, int]] = set()
        self._number = 0

    @property
    def rows(self) -> list[tuple[str, int]]:
        """(service, place in the file's list)."""
        return sorted(self._drained)

    async def grant(self, wish: Drain, asker: Keeper, gateways: Sequence[Keeper]) -> None:
        """Has all gateways do what one of them was asked for, and tells it when they have."""
        (self._drained.add if wish.drained else self._drained.discard)((wish.service, wish.upstream))
        self._number += 1
        order = Drain(self._number, wish.service, wish.upstream, wish.url, wish.drained)
        trouble = ""
        try:
            async with asyncio.timeout(CONFIRM_S):
                await asyncio.gather(*(gateway.do(order) for gateway in gateways))
        except TimeoutError:
            trouble = f"all gateway processes are told, but not all confirmed it within {CONFIRM_S:g} s: ask again"
        asker.tell(Done(wish.number, trouble))

    def turn_to(self, old: Sequence[Served], fresh: Sequence[Served]) -> None:
        """Another factory file: what stays drained, at its place there, as in the gateways' routers."""
        known = {served.name: served for served in old}
        stays: set[tuple[str, int]] = set()
        for served in fresh:
            before = known[served.name].places if served.name in known else []
            places = {place.upstream.identity: n for n, place in reversed(list(enumerate(before)))}
            for n, place in enumerate(served.places):
                if (served.name, places.pop(place.upstream.identity, -1)) in self._drained:
                    stays.add((served.name, n))
        self._drained = stays
