"""``taf_cost``: what a run cost, tools and all, per cost of the visible output alone.

A run's cost is that of all its calls (``cost_micro_usd``, allocated) and of its other cost events. The cost of visible
output alone is its share of the answering call's cost: visible tokens × their weight ÷ all tokens × theirs. The weights
are what a token of a bucket costs; where none are given they are fitted to the events themselves (least squares, none
below zero): an output token costs many times a prompt token, and the events show how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, COST_COLUMNS
from tokenworks.ledger.calls import FINAL, GOT, ORDER, ROOT, opened
from tokenworks.ledger.taf import Amplification, amplifications
from tokenworks.ledger.units import RUNS, Period, check_keys, grouped, key_columns

if TYPE_CHECKING:
    import duckdb

OF_ONE_CALL = ("call", "model")
KINDS = {  # buckets that cost alike, as regressors
    "input": "coalesce(input_fresh, 0) + coalesce(cache_write, 0)",
    "cache_read": "coalesce(cache_read, 0)",
    "output": "coalesce(output_visible, 0) + coalesce(output_reasoning, 0) + coalesce(output_tool, 0)",
}
SHOWN = f"({FINAL} OR (finals = 0 AND top AND {GOT} AND {ORDER} = last_order))"


@dataclass(frozen=True)
class TafCost:
    """One group. Money in whole micro-dollars, of its counted runs; what is left out has figures of its own."""

    key: tuple[str, ...]
    runs: int
    cost_micro_usd: int
    tools_micro_usd: int  # of which other than calls of models
    visible_micro_usd: int | None  # what visible output alone cost
    taf_cost: Amplification | None  # None: no cost of visible output is known
    assumed_runs: int  # whose last call's output stands in for the visible one
    left_out_runs: int  # whose visible output or its cost nobody knows
    left_out_micro_usd: int
    unknown_calls: int  # without a cost: the runs cost at least this
    unknown_events: int  # cost events without an amount: likewise
    basis: str  # of the weights: "given" or "fitted to N calls"


def taf_cost(
    usage: Any,
    costs: Any,
    by: Sequence[str] = ("run",),
    *,
    weights: Mapping[str, float] | None = None,
    period: Period = "day",
    resamples: int = 500,
    seed: int = 0,
) -> list[TafCost]:
    """Rows in the order of their keys, of Arrow tables with USAGE_COLUMNS and COST_COLUMNS; ``by`` run, agent, tenant,
    period. ``weights``: what a token costs, by bucket, in any one unit.

    Raises InputError for keys and buckets that are not known, for amounts in other currencies than dollars, and where
    weights can neither be taken nor fitted.
    """
    check_keys(by, period)
    if named := [name for name in by if name in OF_ONE_CALL]:
        raise InputError(f"the cost of a run cannot be divided by {named[0]}: group by run, agent, tenant, period")
    _check_costs(costs)
    link = opened(usage)
    try:
        link.register("costs", costs)
        link.execute(f"CREATE TABLE runs AS {RUNS}")
        taken, basis = _taken(weights) if weights is not None else _fitted(link)
        found = link.sql(_query(by, period, taken)).to_arrow_table()
    finally:
        link.close()
    return _rows(found, len(by), basis, resamples, seed)


def _check_costs(costs: Any) -> None:
    missing = sorted(COST_COLUMNS.keys() - set(costs.column_names))
    if missing:
        raise InputError(f"the cost table lacks {', '.join(missing)}; it needs the columns of the ledger")
    others = sorted(set(costs.column("currency").unique().to_pylist()) - {"USD"}, key=str)
    if others:
        raise InputError(
            f"costs in {', '.join(map(str, others))} beside USD: they cannot be added without a dated rate"
        )


def _taken(weights: Mapping[str, float]) -> tuple[dict[str, float], str]:
    unknown = sorted(weights.keys() - set(BUCKETS))
    if unknown or any(w < 0 for w in weights.values()) or not weights.get("output_visible"):
        raise InputError(
            f"weights {dict(weights)} need output_visible above zero and none below, of {', '.join(BUCKETS)}"
        )
    return {name: float(weights.get(name, 0.0)) for name in BUCKETS}, "given"


def _fitted(link: duckdb.DuckDBPyConnection) -> tuple[dict[str, float], str]:
    """Least squares of cost on tokens over all calls with a cost, from sums alone; weights below zero are set to zero."""
    parts = [f"({sql})::DOUBLE" for sql in KINDS.values()]
    squares = ", ".join(f"sum({a} * {b})" for a in parts for b in parts)
    products = ", ".join(f"sum({a} * cost_micro_usd)" for a in parts)
    query = f"SELECT count(*), {squares}, {products} FROM calls WHERE cost_micro_usd IS NOT NULL AND sign > 0"
    count, *sums = link.execute(query).fetchall()[0]
    if not count:
        return dict.fromkeys(BUCKETS, 1.0), "no call has a cost"
    size = len(parts)
    solved = _not_negative(np.array(sums[: size * size]).reshape(size, size), np.array(sums[size * size :]))
    told, read, made = (float(w) for w in solved)
    if made <= 0:
        raise InputError("the events' costs do not say what output costs (all calls alike?): give weights")
    weights = (told, read, told, made, made, made)
    return dict(zip(BUCKETS, weights, strict=True)), f"fitted to {count} calls"


def _not_negative(squares: Any, products: Any) -> Any:
    """Weights of the normal equations; the most negative one is dropped until none is."""
    kept = np.diag(squares) > 0
    while kept.any():
        solved = np.zeros(len(products))
        solved[kept] = np.linalg.lstsq(squares[np.ix_(kept, kept)], products[kept], rcond=1e-12)[0]
        if (solved >= 0).all():
            return solved
        kept[int(np.argmin(solved))] = False
    return np.zeros(len(products))


def _query(by: Sequence[str], period: Period, weights: Mapping[str, float]) -> str:
    """One row a run: its calls, the cost of what they showed, and its other costs, also where it made no call."""
    weighed = " + ".join(f"coalesce({name}, 0) * {weight!r}::DOUBLE" for name, weight in weights.items())
    share = f"output_visible * {weights['output_visible']!r}::DOUBLE / nullif({weighed}, 0)"
    shown = f"""SELECT tenant, root, sum(sign * round(cost_micro_usd * coalesce({share}, 0)))::BIGINT AS visible,
        bool_or(cost_micro_usd IS NULL OR output_visible IS NULL) AS unknown
        FROM calls JOIN (SELECT tenant, root, finals, last_order FROM runs) USING (tenant, root)
        WHERE {SHOWN} AND sign > 0 GROUP BY tenant, root"""
    called = """SELECT tenant, root, coalesce(sum(sign * cost_micro_usd), 0)::BIGINT AS of_calls,
        count(*) FILTER (cost_micro_usd IS NULL) AS calls_unknown FROM calls GROUP BY tenant, root"""
    beside = f"""SELECT tenant, {ROOT} AS root, coalesce(sum(sign * amount_micro), 0)::BIGINT AS of_tools,
        count(*) FILTER (amount_micro IS NULL) AS events_unknown, max(time_us) AS beside_ended
        FROM costs GROUP BY 1, 2"""
    keys = key_columns(by, period)
    order = "".join(f"key{i}, " for i in range(len(by)))
    return f"""SELECT {keys} coalesce(of_calls, 0) AS of_calls, coalesce(of_tools, 0) AS of_tools,
        CASE WHEN unknown THEN NULL ELSE visible END AS visible, coalesce(finals = 0, false) AS assumed,
        coalesce(calls_unknown, 0) AS calls_unknown, coalesce(events_unknown, 0) AS events_unknown
        FROM (SELECT tenant, root, coalesce(ended, beside_ended) AS ended, * EXCLUDE (tenant, root, ended) FROM
            (SELECT tenant, root, ended, agent, finals FROM runs) FULL JOIN ({beside}) USING (tenant, root)
            LEFT JOIN ({called}) USING (tenant, root) LEFT JOIN ({shown}) USING (tenant, root))
        ORDER BY {order} tenant, root"""


def _rows(found: Any, width: int, basis: str, resamples: int, seed: int) -> list[TafCost]:
    keys, group = grouped(found, width)
    edges = np.searchsorted(group, np.arange(len(keys) + 1))
    return [
        _row(found.slice(edges[i], edges[i + 1] - edges[i]), key, basis, resamples, seed) for i, key in enumerate(keys)
    ]


def _row(found: Any, key: tuple[str, ...], basis: str, resamples: int, seed: int) -> TafCost:
    columns = {
        name: found.column(name).fill_null(0).to_numpy().astype(np.int64)
        for name in ("of_calls", "of_tools", "visible")
    }
    known = found.column("visible").is_valid().to_numpy().astype(bool)
    cost, visible = (columns["of_calls"] + columns["of_tools"]), columns["visible"][known]
    (ratio,) = amplifications([cost[known]], visible, resamples, seed, "\x1f".join(key))
    return TafCost(
        key=key,
        runs=int(known.sum()),
        cost_micro_usd=int(cost[known].sum()),
        tools_micro_usd=int(columns["of_tools"][known].sum()),
        visible_micro_usd=int(visible.sum()) if known.any() else None,
        taf_cost=ratio,
        assumed_runs=int((found.column("assumed").to_numpy().astype(bool) & known).sum()),
        left_out_runs=int((~known).sum()),
        left_out_micro_usd=int(cost[~known].sum()),
        unknown_calls=int(found.column("calls_unknown").to_numpy().sum()),
        unknown_events=int(found.column("events_unknown").to_numpy().sum()),
        basis=basis,
    )
