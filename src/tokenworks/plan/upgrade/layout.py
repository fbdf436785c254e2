"""Which layout each service has on a newer system, and how many systems serve today's demand with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tokenworks.errors import InputError
from tokenworks.plan.sweep.figures import IMPOSSIBLE, OK, Row
from tokenworks.plan.upgrade.size import needed, reference
from tokenworks.plan.upgrade.swap import layouts
from tokenworks.spec.factory import Factory

Layout = tuple[int, ...]  # what the tensor-parallel degrees of each service are divided by


def candidates_of(factory: Factory) -> list[Layout]:
    """Today's degrees, then each service's own alternatives while the others stay."""
    today = tuple(1 for _ in factory.services)
    others = [(i, by) for i, service in enumerate(factory.services) for by in layouts(service)[1:]]
    return [today, *((*today[:i], by, *today[i + 1 :]) for i, by in others)]


def chosen_of(factory: Factory, rows: Mapping[Layout, Row]) -> tuple[Layout, list[Row]]:
    """The best layout of each service, and the rehearsals that showed them."""
    best, shown = list[int](), list[Row]()
    for i, service in enumerate(factory.services):
        mine = [(by[i], row) for by, row in rows.items() if all(x == 1 for k, x in enumerate(by) if k != i)]
        by, row = min(mine, key=lambda pair: _rank(pair[1], service.name))
        best.append(by)
        shown.append(row)
    return tuple(best), shown


def _rank(row: Row, service: str) -> tuple[float, ...]:
    """What meets the service's objectives first, then what sustains most."""
    if row["state"] == IMPOSSIBLE:
        return 1.0, math.inf
    return float(row[f"{service}.state"] != OK), -float(row[f"{service}.sustainable_requests_s"])


def enough(
    factory: Factory, new: str, chosen: Sequence[Row], rates: Sequence[float], shares: Sequence[float]
) -> tuple[int, ...]:
    """Systems by entry that serve today's rates at today's share of use. Raises InputError where no layout is possible."""
    failed = next((row for row in chosen if row["state"] == IMPOSSIBLE), None)
    if failed:
        raise InputError(failed["reason"])
    rows = {s.name: row for s, row in zip(factory.services, chosen, strict=True)}
    found = []
    for system, count in zip(factory.systems, reference(factory, new), strict=True):
        here = [i for i, w in enumerate(factory.workload) if _on(factory, w.service) == system.id]
        asked = [factory.workload[i].service for i in here]
        sustained = [float(rows[name][f"{name}.sustainable_requests_s"]) for name in asked]
        times = needed([rates[i] for i in here], sustained, [shares[i] for i in here])
        found.append(max(1, math.ceil(count * times - 1e-9)))
    return tuple(found)


def _on(factory: Factory, service: str) -> str:
    return factory.system_of(next(s for s in factory.services if s.name == service)).id
