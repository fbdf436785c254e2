"""A name that several services share by weight: the same caller stays with the same service, on every gateway."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence

from tokenworks.serve.upstreams.routing import session_number
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.uuids import uuid7


class Split:
    """``parts``: services with weights above 0, in the file's order: as a weight grows, callers move only towards it."""

    def __init__(self, name: str, parts: Sequence[tuple[Served, float]], by: str):
        self._name, self._by = name, by
        self._services = [served.name for served, _ in parts]
        self._sums = list(itertools.accumulate(weight for _, weight in parts))
        self.first = parts[0][0]

    def service(self, session: str, tenant: str) -> str:
        """Whose turn it is: a place on a line of the length of all weights, found by a hash of what is to stay together."""
        sticks = {"session": session, "tenant": tenant}.get(self._by, "")
        place = session_number(f"{self._name}\0{sticks or uuid7()}") / 2**63
        return self._services[min(bisect_right(self._sums, place * self._sums[-1]), len(self._sums) - 1)]
