"""Ways to serve that a roadmap offers its programme: units of workers, of every service on every kind of system.

A *unit* is one worker, or the prefill and decode workers that go together. Of the configurations of a service on a kind of
system that keep its objectives, those enter that no other beats in both systems and watts per request: where power is
short another one is best than where systems are dear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.plan.candidates import NONE, Ints, Table
from tokenworks.plan.fronts import pareto
from tokenworks.plan.limits import all_kept, service_needs
from tokenworks.plan.market import Market

WAYS = 4  # of one service on one kind of system, the cheapest in systems first


@dataclass(frozen=True)
class Way:
    """What an offer stands for: a row of the service's table of units."""

    service: int
    kind: int
    row: int
    tokens_s: float  # output, of one unit at its planned rate


def ways_of(market: Market, service: int) -> list[Way]:
    """Rows that keep the objectives and that no other beats, by kind."""
    t, asked = market.tables[service], market.spaces[service].asked
    kept = all_kept(service_needs(asked, t, market.tails[service]), len(t)) & (t.rate_s > 0)
    found: list[Way] = []
    for number in range(len(market.prices)):
        rows = np.flatnonzero(kept & (t.kind == number))
        if len(rows):
            found += [Way(service, number, int(r), float(t.rate_s[r] * asked.output_tokens)) for r in _best(t, rows)]
    return found


def _best(t: Table, rows: Ints) -> Ints:
    share, watts = t.share[rows] / t.rate_s[rows], t.board_w[rows] / t.rate_s[rows]
    front = rows[pareto(np.stack([share, watts], axis=1))]
    if len(front) <= WAYS:
        return front
    return np.asarray(front[np.unique(np.linspace(0, len(front) - 1, WAYS).round().astype(int))])


def configuration(market: Market, way: Way) -> str:
    """Degrees, format and batch of a unit, for people."""
    t, space = market.tables[way.service], market.spaces[way.service]
    main, prefill = int(t.main[way.row]), int(t.prefill[way.row])
    said = _said(space.shapes[space.wide.shape[main]].deployment, int(space.wide.batch[main]))
    if prefill == NONE:
        return said
    before = _said(space.shapes[space.wide.shape[prefill]].deployment, int(space.wide.batch[prefill]))
    return f"{int(t.prefill_workers[way.row])} × prefill {before} + {int(t.workers[way.row])} × decode {said}"


def _said(d: Deployment, batch: int) -> str:
    degrees = " ".join(f"{n}{getattr(d, n)}" for n in ("tp", "pp", "dp", "ep") if getattr(d, n) > 1) or "tp1"
    clock = f" clock {d.clock:.0%}" if d.clock < 1 else ""
    return f"{d.engine} {d.weights} {degrees}{clock} batch {batch}"
