"""The site's power budget among the pools that a gateway steers: the twin's rule, with watts that boards say they draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tokenworks.control.scaling.power import Budget, corrected, grant, least_w, standing_of
from tokenworks.rehearsal.supply import Draw
from tokenworks.serve.upstreams.routing import Router


def local_day_s(_: float) -> float:
    """Time of the day where the gateway runs."""
    now = time.localtime()
    return now.tm_hour * 3600.0 + now.tm_min * 60.0 + now.tm_sec


class Supply:
    """Shared by all pilots. ``day_s``: the time of the day at so many seconds of a pilot's clock; None: the file's."""

    def __init__(
        self,
        budget: Budget,
        names: Sequence[str],
        start: Sequence[int],
        draws: Mapping[str, Draw],
        day_s: Callable[[float], float] | None = None,
    ):
        self.budget, self._draws = budget, draws
        self._places = {name: i for i, name in enumerate(names)}
        self._standing, self._factors = standing_of(start), [1.0] * len(names)
        self._day_s = day_s or (lambda now_s: budget.begins_s + now_s)

    @property
    def watts(self) -> tuple[float, ...]:
        """Of a replica of each pool at its load, corrected by what boards say."""
        return tuple(p.replica_w * f for p, f in zip(self.budget.pools, self._factors, strict=True))

    def replica_w(self, pool: str) -> float:
        return self.watts[self._places[pool]]

    def limit_w(self, now_s: float, ahead_s: float) -> float:
        """What the boards may draw from now until the next look."""
        return least_w(self.budget.day, self._day_s(now_s), ahead_s)

    def grant(self, pool: str, wanted: int, now_s: float, ahead_s: float) -> int:
        """Replicas that may be up, of those that are wanted."""
        place, limit_w = self._places[pool], self.limit_w(now_s, ahead_s)
        self._standing = grant(self.budget, self._standing, place, wanted, limit_w, self.watts)
        return self._standing.told[place]

    def measure(self, pool: str, router: Router) -> None:
        """Learns from the pages of real engines; an emulated one draws what its model says."""
        place, measured_w, modelled_w = self._places[pool], 0.0, 0.0
        curve = self._draws[pool].by_requests_w
        for i in router.positions:
            state = router.engines[i]
            if not router.up[i] or state is None or state.watts is None or state.speed is not None:
                continue
            measured_w += state.watts
            requests = router.outstanding[i] + router.elsewhere[i]
            modelled_w += float(np.interp(requests, np.arange(len(curve)), curve))
        if measured_w > 0 and modelled_w > 0:
            self._factors[place] = corrected(self._factors[place], measured_w, modelled_w)
