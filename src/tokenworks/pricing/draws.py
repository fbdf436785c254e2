"""Runs as they really were, drawn again and again: what a month could have been. Floats: these are risks, not bills.

Poisson bootstrap: in each draw a run occurs k times, k ~ Poisson(1), so that the number of runs varies too. Calls outside any run
are runs of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.pricing.measure import THREADS, Tables, open_source
from tokenworks.pricing.measure_sql import Window, make_view
from tokenworks.pricing.periods import Period

Floats: TypeAlias = NDArray[np.float64]
Key: TypeAlias = tuple[str, ...]  # ("tokens", bucket, model), ("requests", model), ("seconds", model), ("runs",), …


@dataclass(frozen=True)
class Runs:
    """The runs of a tenant: units by key, one row per run, and their cost in dollars."""

    keys: tuple[Key, ...]
    units: Floats  # (runs, keys)
    cost_usd: Floats  # (runs,)


@dataclass(frozen=True)
class Month:
    """Drawn months of a tenant: units by key and cost, one value per draw."""

    units: dict[Key, Floats]
    cost_usd: Floats


def runs_of(tables: Tables, period: Period, tenants: Sequence[str], bill_failed: bool = False) -> dict[str, Runs]:
    """Tenant → its runs in a period, by the time at which each began. Raises InputError without usage or runs."""
    import duckdb

    if tables.usage is None:
        raise InputError("risk needs a usage table")
    with duckdb.connect(config={"threads": THREADS}) as db:
        window = Window(period.start_us, period.end_us, (), None)
        open_source(db, "usage", tables.usage)
        make_view(db, "usage", window, tenants)
        rows = db.execute(
            _QUESTION.format(
                holds=window.holds("billed_us"), billed="TRUE" if bill_failed else "NOT coalesce(failed, FALSE)"
            )
        ).fetchall()
        events = _cost_rows(db, tables, window, tenants)
    return {tenant: _matrix([r[1:] for r in rows if r[0] == tenant], events.get(tenant, [])) for tenant in tenants}


_SUMS = ", ".join(f"coalesce(sum(sign * {b}) FILTER ({{billed}}), 0)" for b in BUCKETS)
_QUESTION = (
    "SELECT tenant, CASE WHEN root_run = '' OR root_run IS NULL THEN source || ' ' || id ELSE root_run END AS thing, "
    "bool_or(coalesce(root_run, '') <> '') AS real, coalesce(model, '') AS model, coalesce(sum(sign) FILTER ({billed}), 0), "
    f"coalesce(sum(sign * duration_us) FILTER ({{billed}}), 0) / 1e6, {_SUMS}, coalesce(sum(sign * cost_micro_usd), 0) / 1e6 "
    "FROM usage_billed WHERE {holds} GROUP BY tenant, thing, model ORDER BY tenant, thing, model"
)


def _cost_rows(db: Any, tables: Tables, window: Window, tenants: Sequence[str]) -> dict[str, list[Any]]:
    if tables.cost is None:
        return {}
    open_source(db, "cost", tables.cost)
    make_view(db, "cost", window, tenants)
    found: dict[str, list[Any]] = {}
    question = (
        "SELECT tenant, CASE WHEN coalesce(root_run, '') = '' THEN source || ' ' || id ELSE root_run END AS thing, meter, "
        "sum(sign * quantity_micro) / 1e6, coalesce(sum(sign * amount_micro), 0) / 1e6 FROM cost_billed "
        f"WHERE {window.holds('billed_us')} GROUP BY tenant, thing, meter ORDER BY tenant, thing, meter"
    )
    for tenant, *rest in db.execute(question).fetchall():
        found.setdefault(tenant, []).append(rest)
    return found


def _matrix(rows: Sequence[Any], events: Sequence[Any]) -> Runs:
    cells: list[tuple[str, Key, float]] = []
    spent: dict[str, float] = {}
    real: set[str] = set()
    for thing, is_run, model, requests, seconds, *rest in rows:
        *counts, cost = rest
        cells += [(thing, ("tokens", b, model), float(n)) for b, n in zip(BUCKETS, counts, strict=True) if n]
        cells += [(thing, ("requests", model), float(requests)), (thing, ("seconds", model), float(seconds))]
        spent[thing] = spent.get(thing, 0.0) + float(cost)
        if is_run:
            real.add(thing)
    for thing, meter, quantity, money in events:
        cells += [(thing, ("cost", meter), float(quantity)), (thing, ("money", "cost", meter), float(money))]
        spent[thing] = spent.get(thing, 0.0) + float(money)
    cells += [(thing, ("runs",), 1.0) for thing in sorted(real)]
    return _dense(cells, spent)


def _dense(cells: Sequence[tuple[str, Key, float]], spent: dict[str, float]) -> Runs:
    things = {thing: i for i, thing in enumerate(sorted(spent))}
    keys = {key: i for i, key in enumerate(sorted({key for _, key, _ in cells}))}
    units = np.zeros((len(things), len(keys)))
    for thing, key, value in cells:
        units[things[thing], keys[key]] += value
    return Runs(tuple(keys), units, np.array([spent[t] for t in things], np.float64))


def draw(runs: Runs, draws: int, rng: np.random.Generator) -> Month:
    """Months of a tenant; the first is the one that was."""
    units = np.empty((draws, len(runs.keys)))
    cost = np.empty(draws)
    for first in range(0, draws, 64):
        last = min(draws, first + 64)
        times = rng.poisson(1.0, (last - first, len(runs.cost_usd))).astype(np.float64)
        if first == 0:
            times[0] = 1.0
        units[first:last], cost[first:last] = times @ runs.units, times @ runs.cost_usd
    return Month({key: units[:, i] for i, key in enumerate(runs.keys)}, cost)
