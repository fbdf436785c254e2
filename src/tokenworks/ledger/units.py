"""What TAF divides: per run (or per call, or per model in a run) the tokens processed and the output that its user saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.ledger.calls import FINAL, GOT, ORDER, TOKENS, opened

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Period: TypeAlias = Literal["hour", "day", "month"]

KEYS = ("call", "run", "agent", "tenant", "model", "period")
PERIODS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
COUNTS = ("processed", "cache_read", "visible", "calls", "unknown", "unknown_reads")

NOTHING = "(input_fresh IS NULL OR output_visible IS NULL)"
SUMS = f"""sum(sign * ({TOKENS}))::BIGINT AS processed,
    sum(sign * coalesce(cache_read, 0))::BIGINT AS cache_read,
    sum(sign)::BIGINT AS calls,
    sum(sign * {NOTHING}::INT)::BIGINT AS unknown,
    sum(sign * (cache_read IS NULL)::INT)::BIGINT AS unknown_reads"""
# One row a run. The last call's output stands in where no call is final; of several at one time, the last stored.
RUNS = f"""SELECT tenant, root, max(time_us) AS ended, {SUMS},
    coalesce(sum(sign * {FINAL}::INT), 0)::BIGINT AS finals,
    coalesce(bool_or(output_visible IS NULL) FILTER ({FINAL}), false) AS finals_unknown,
    coalesce(sum(sign * output_visible) FILTER ({FINAL}), 0)::BIGINT AS shown,
    arg_max(coalesce(output_visible, -1), {ORDER}) FILTER (top AND {GOT} AND sign > 0) AS last_shown,
    max({ORDER}) FILTER (top AND {GOT} AND sign > 0) AS last_order,
    arg_min(coalesce(agent, ''), {ORDER}) FILTER (top AND sign > 0) AS agent
    FROM calls GROUP BY tenant, root"""
SHOWN = """CASE WHEN finals = 0 THEN nullif(last_shown, -1)::BIGINT WHEN finals_unknown THEN NULL ELSE shown END AS visible,
    finals = 0 AS assumed"""
OF_RUNS = f"processed, cache_read, calls, unknown, unknown_reads, {SHOWN} FROM runs"
OF_MODELS = f"""processed, cache_read, calls, unknown, unknown_reads, {SHOWN}
    FROM (SELECT tenant, root, model, {SUMS} FROM calls GROUP BY tenant, root, model)
    JOIN (SELECT tenant, root, ended, agent, finals, finals_unknown, shown, last_shown FROM runs) USING (tenant, root)"""
OF_CALLS = f"""sign * ({TOKENS}) AS processed, sign * coalesce(cache_read, 0) AS cache_read, sign AS calls,
    {NOTHING}::INT AS unknown, (cache_read IS NULL)::INT AS unknown_reads,
    CASE WHEN {FINAL} THEN sign * output_visible ELSE 0 END AS visible, false AS assumed FROM calls"""


@dataclass(frozen=True)
class Units:
    """Columns, one row a unit, in the order of their groups."""

    key: list[tuple[str, ...]]  # names of the groups
    group: Ints  # each unit's group: an index into key
    processed: Ints
    cache_read: Ints
    visible: Ints  # 0 where nobody knows it
    known: Flags  # is it known?
    assumed: Flags  # no call was final: visible is the last call's output
    calls: Ints
    unknown: Ints  # calls that state no input or no output at all
    unknown_reads: Ints  # calls of which nobody knows what came from a cache


def units(usage: Any, by: Sequence[str] = ("run",), period: Period = "day") -> Units:
    """Units of an Arrow table with USAGE_COLUMNS, grouped ``by`` any of `KEYS`; ``()`` is one group for all.

    A run's agent is that of its first call at the top; a run belongs to the period in which its last call began. Raises
    InputError for a key or period that is not known.
    """
    check_keys(by, period)
    link = opened(usage)
    try:
        link.execute(f"CREATE TABLE runs AS {RUNS}")
        return _units(link.sql(_query(by, period)).to_arrow_table(), len(by))
    finally:
        link.close()


def check_keys(by: Sequence[str], period: str) -> None:
    unknown = [name for name in by if name not in KEYS]
    if unknown or len(set(by)) < len(by):
        raise InputError(
            f"cannot group by {', '.join(unknown) or ', '.join(by)}; there are {', '.join(KEYS)}, each once"
        )
    if period not in PERIODS:
        raise InputError(f"no period {period!r}; there are {', '.join(PERIODS)}")


def key_columns(by: Sequence[str], period: Period) -> str:
    """The keys as columns key0, key1 …; each with a comma behind it."""
    time = "time_us" if "call" in by else "ended"
    names = {
        "call": "source || '/' || id",
        "run": "root",
        "agent": "coalesce(agent, '')",
        "tenant": "tenant",
        "model": "coalesce(model, '')",
        "period": f"strftime(make_timestamp({time}), '{PERIODS[period]}')",
    }
    return "".join(f"{names[name]} AS key{i}, " for i, name in enumerate(by))


def _query(by: Sequence[str], period: Period) -> str:
    """A run as it is; a model with its own tokens and the output of the runs that it served; a call by itself."""
    columns = OF_CALLS if "call" in by else OF_MODELS if "model" in by else OF_RUNS
    order = "".join(f"key{i}, " for i in range(len(by)))
    return f"SELECT {key_columns(by, period)} {columns} ORDER BY {order} tenant, root"


def _units(found: Any, width: int) -> Units:
    key, group = grouped(found, width)
    known = found.column("visible").is_valid().to_numpy().astype(bool)
    assumed = found.column("assumed").to_numpy().astype(bool)
    numbers = {name: found.column(name).fill_null(0).to_numpy().astype(np.int64) for name in COUNTS}
    return Units(key, group, known=known, assumed=assumed, **numbers)


def grouped(found: Any, width: int) -> tuple[list[tuple[str, ...]], Ints]:
    """The groups of rows sorted by their keys key0 …, and the group of each row."""
    columns = [found.column(f"key{i}").combine_chunks() for i in range(width)]
    changed = np.zeros(found.num_rows, dtype=bool)
    changed[:1] = True
    for column in columns:
        codes = column.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        changed[1:] |= codes[1:] != codes[:-1]
    starts = np.flatnonzero(changed)
    names = [column.take(starts).to_pylist() for column in columns]
    key: list[tuple[str, ...]] = [tuple(name[i] for name in names) for i in range(len(starts))]
    return key, np.cumsum(changed, dtype=np.int64) - 1
