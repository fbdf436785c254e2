"""The usage table as SQL reads it: what was taken back left out, calls in the order of their run.

A run is named by tenant and root run; a call outside any run is a run of its own. A reversal (sign −1) repeats the source
and id of what it takes back: both rows go. One whose original is not in the table stays, as a row that subtracts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, INPUT, USAGE_COLUMNS

if TYPE_CHECKING:
    import duckdb

ROOT = "CASE WHEN coalesce(root_run, '') = '' THEN source || '/' || id ELSE root_run END"
TOP = "(coalesce(run, '') = '' OR run = root_run)"  # a call of the task itself, not of a sub-agent
TOKENS = " + ".join(f"coalesce({name}, 0)" for name in BUCKETS)
READ = " + ".join(f"coalesce({name}, 0)" for name in INPUT)
GOT = "NOT coalesce(failed, false)"  # somebody got its output
FINAL = f"(coalesce(final, false) AND {GOT})"
ORDER = "time_us::HUGEINT * 9223372036854775808 + coalesce(seq, 0)"  # of calls: by time, then as stored


def opened(usage: Any) -> duckdb.DuckDBPyConnection:
    """A connection in which ``calls`` are the rows that stand: +1 once, and −1 without an original. Raises InputError
    where a column of the ledger is missing."""
    import duckdb

    missing = sorted(USAGE_COLUMNS.keys() - set(usage.column_names))
    if missing:
        raise InputError(f"the usage table lacks {', '.join(missing)}; it needs the columns of the ledger")
    link = duckdb.connect()
    link.register("usage", usage)
    ((reversals,),) = link.execute("SELECT count(*) FROM usage WHERE sign < 0").fetchall()
    link.execute(f"CREATE VIEW calls AS SELECT *, {ROOT} AS root, {TOP} AS top FROM {_standing(reversals, link)}")
    return link


def _standing(reversals: int, link: duckdb.DuckDBPyConnection) -> str:
    if not reversals:
        return "usage"
    link.execute(
        "CREATE TABLE pairs AS SELECT source, id FROM usage GROUP BY source, id HAVING min(sign) < 0 AND max(sign) > 0"
    )
    return "(SELECT * FROM usage ANTI JOIN pairs USING (source, id))"
