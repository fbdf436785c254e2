"""All configurations of one service: aggregated replicas and pairs of pools, on every kind of system."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from tokenworks.plan.candidates import Space, Table, aggregated
from tokenworks.plan.pairing import pairs


def table(space: Space, rate_s: float | None, headroom: float, slower: float = 1.0) -> Table:
    """All configurations for a rate; ``rate_s`` None: one worker (of each pool as many as go with one) and what it carries.
    ``slower``: every replica does this share of what the wide pass says (its lower bound)."""
    serves = np.array([s.role == "serve" for s in space.shapes])[space.wide.shape]
    parts = []
    for number, kind in enumerate(space.kinds):
        here = np.array([s.system == kind.system for s in space.shapes])[space.wide.shape]
        parts.append(aggregated(space, number, np.flatnonzero(here & serves), rate_s, headroom, slower))
        parts += pairs(space, number, rate_s, headroom, slower)
    return appended(*parts)


def appended(*parts: Table) -> Table:
    """Tables one after the other."""
    return Table(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Table)})
