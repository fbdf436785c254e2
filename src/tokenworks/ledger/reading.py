"""Reading a ledger: one table over live and sealed events, or any question in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.errors import InputError
from tokenworks.ledger.columns import KINDS, arrow_schema, live_table, select_sql
from tokenworks.ledger.journal import Segment, segments
from tokenworks.ledger.rollups import rows_of
from tokenworks.ledger.store import Row
from tokenworks.ledger.sums import COST_CELL, COST_SUMS, USAGE_CELL, USAGE_SUMS
from tokenworks.ledger.tail import LIVE

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from tokenworks.ledger.ledger import Ledger

ALL_TIME = (0, 2**63 - 1)


def table(ledger: Ledger, kind: str, from_us: int, to_us: int, tenant: str | None, last_seq: int | None) -> pa.Table:
    """Rows of one kind with times in [from_us, to_us), in ledger order; ``last_seq`` leaves out what came later."""
    terms: list[str] = ["time_us >= ?", "time_us < ?"]
    values: list[Any] = [from_us, to_us]
    for term, value in (("tenant = ?", tenant), ("seq <= ?", last_seq)):
        if value is not None:
            terms.append(term)
            values.append(value)
    with ledger.snapshot():
        base = connect(ledger, (kind,), (from_us, to_us))
    with base:
        names = ", ".join(KINDS[kind][1])
        found = base.sql(f"SELECT {names} FROM {kind} WHERE {' AND '.join(terms)} ORDER BY seq", params=values)
        return found.to_arrow_table().cast(arrow_schema(kind))


def query(ledger: Ledger, sql: str) -> pa.Table:
    """One SELECT over the views usage, cost, outcome, usage_sums and cost_sums. InputError where it is anything else."""
    import duckdb

    with ledger.snapshot():
        base = connect(ledger, tuple(KINDS), ALL_TIME)
        _sums_views(base, ledger)
    with base:
        try:
            statements = base.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InputError("a query is one SELECT over usage, cost and outcome")
            return base.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(f"query: {error}") from error


def connect(ledger: Ledger, kinds: tuple[str, ...], times: tuple[int, int]) -> duckdb.DuckDBPyConnection:
    """A database in memory with a view per kind of the ledger as it is now; it reads the segments and no other file."""
    import duckdb

    base = duckdb.connect()
    found = segments(ledger.store, "WHERE from_us < ? AND to_us >= ?", (times[1], times[0]))
    after = max((segment.last_seq for segment in found if segment.kind == "seal"), default=0)
    base.register("live", live_table(ledger.store.rows(LIVE, (after, 2**63 - 1))))
    files = [path for segment in found for path in _paths(ledger, segment)]
    if files:
        base.execute(f"SET allowed_paths = {[str(path) for path in files]}")
    base.execute("SET enable_external_access = false")
    for kind in kinds:
        sealed = [str(path) for path in files if path.name.endswith(f"-{kind}.parquet")]
        union = f" UNION ALL SELECT * FROM read_parquet({sealed})" if sealed else ""
        base.execute(f"CREATE VIEW {kind} AS {select_sql(kind, 'live')}{union}")
    base.execute("SET lock_configuration = true")
    return base


def _sums_views(base: duckdb.DuckDBPyConnection, ledger: Ledger) -> None:
    """Views over the roll-ups: of single events from the database, of bulk segments from their files."""
    files = [path for segment in segments(ledger.store) for path in _paths(ledger, segment)]
    sealed = [str(path) for path in files if path.name.endswith("-sums.parquet")]
    for name, cell, sums in (("usage_sums", USAGE_CELL, USAGE_SUMS), ("cost_sums", COST_CELL, COST_SUMS)):
        base.register(f"{name}_live", sums_table(rows_of(ledger.store, name, cell, sums), cell, sums))
        both = f"SELECT * FROM {name}_live"
        if sealed and name == "usage_sums":
            both += f" UNION ALL SELECT * FROM read_parquet({sealed})"
        adding = ", ".join(f"CAST(sum({column}) AS BIGINT) AS {column}" for column in sums)
        base.execute(f"CREATE VIEW {name} AS SELECT {', '.join(cell)}, {adding} FROM ({both}) GROUP BY ALL")


def sums_table(rows: list[Row], cell: tuple[str, ...], sums: tuple[str, ...]) -> pa.Table:
    """Roll-up rows as columns."""
    import pyarrow as pa

    names = (*cell, *sums)
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    numbers = {"hour", *sums}
    kinds = [pa.int64() if name in numbers else pa.string() for name in names]
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)})


def _paths(ledger: Ledger, segment: Segment) -> list[Path]:
    if ledger.segments is None:
        raise InputError(f"ledger {ledger.store.place}: it has sealed segments; name their folder (segments=…)")
    paths = [path for kind in (*KINDS, "sums") if (path := segment.path(ledger.segments, kind))]
    for path in paths:
        if not path.is_file():
            raise InputError(f"ledger {ledger.store.place}: the sealed segment {path} is missing")
    return paths
