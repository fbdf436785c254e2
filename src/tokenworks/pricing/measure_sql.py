"""The questions that `measure` asks of DuckDB."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS


@dataclass(frozen=True)
class Window:
    """Which rows, and the edges of the stretches between which they are told apart; microseconds."""

    start_us: int
    end_us: int
    edges_us: tuple[int, ...]
    last_seq: int | None

    def stretch(self, time: str) -> str:
        return " + ".join(f"({time} >= {edge})::INT" for edge in self.edges_us)

    def holds(self, time: str) -> str:
        return f"{time} >= {self.start_us} AND {time} < {self.end_us}"


def make_view(db: Any, name: str, window: Window, tenants: Collection[str] | None) -> None:
    """`{name}_billed`: rows with ``billed_us``, the time at which they count. Raises InputError for a lost original."""
    keep = "TRUE" if window.last_seq is None else f"seq <= {window.last_seq}"
    if tenants is not None:
        keep += f" AND tenant IN ({', '.join(quoted(t) for t in tenants) or 'NULL'})"
    if not db.execute(f"SELECT 1 FROM {name} WHERE sign < 0 AND {keep} LIMIT 1").fetchall():
        db.execute(f"CREATE VIEW {name}_billed AS SELECT *, time_us AS billed_us FROM {name} WHERE {keep}")
        return
    db.execute(
        f"CREATE TEMP TABLE {name}_original AS SELECT source, id, min(time_us) AS billed_us FROM {name} "
        f"WHERE sign > 0 AND {keep} AND (source, id) IN (SELECT (source, id) FROM {name} WHERE sign < 0 AND {keep}) "
        "GROUP BY source, id"
    )
    _none_lost(db, name, keep)
    db.execute(
        f"CREATE VIEW {name}_billed AS SELECT *, time_us AS billed_us FROM {name} WHERE sign > 0 AND {keep} "
        f"UNION ALL BY NAME SELECT r.*, o.billed_us FROM {name} r JOIN {name}_original o USING (source, id) "
        f"WHERE r.sign < 0 AND {keep}"
    )


def _none_lost(db: Any, name: str, keep: str) -> None:
    lost = db.execute(
        f"SELECT source, id FROM {name} WHERE sign < 0 AND {keep} "
        f"AND (source, id) NOT IN (SELECT (source, id) FROM {name}_original) ORDER BY ALL LIMIT 1"
    ).fetchall()
    if lost:
        raise InputError(
            f"{name}: the reversal of ({lost[0][0]}, {lost[0][1]}) stands without its original; give the table from its time on"
        )


def tokens(window: Window) -> str:
    sums = ", ".join(f"coalesce(sum(sign * {b}), 0)" for b in BUCKETS)
    unknown = ", ".join(f"coalesce(sum(sign) FILTER ({b} IS NULL), 0)" for b in BUCKETS)
    return (
        f"SELECT tenant, {window.stretch('billed_us')} AS stretch, coalesce(model, '') AS model, "
        "coalesce(failed, FALSE) AS failed, sum(sign), coalesce(sum(sign * duration_us), 0), "
        f"coalesce(sum(sign) FILTER (duration_us IS NULL), 0), {sums}, {unknown} FROM usage_billed "
        f"WHERE {window.holds('billed_us')} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )


def distinct(db: Any, meter: str, window: Window) -> str:
    """Runs, conversations, workflows: each counts once, at its first attempt in the table that was not failed or reversed."""
    by, name = {
        "runs": ("root_run", "''"),
        "conversations": (_conversation(db), "''"),
        "workflows": ("root_run", "json_extract_string(nullif(tags, ''), '$.workflow')"),
    }[meter]
    return (
        f"SELECT tenant, name, {window.stretch('t')} AS stretch, count(*), 0, 0, '' FROM ("
        f"SELECT tenant, {by} AS thing, {name} AS name, min(billed_us) AS t FROM usage_billed "
        "GROUP BY 1, 2, 3 HAVING sum(sign) > 0) "
        f"WHERE thing IS NOT NULL AND thing <> '' AND name IS NOT NULL AND {window.holds('t')} "
        "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )


def _conversation(db: Any) -> str:
    """A column of its own, or the tag."""
    columns = {row[0] for row in db.execute("DESCRIBE usage_billed").fetchall()}
    return "conversation" if "conversation" in columns else "json_extract_string(nullif(tags, ''), '$.conversation')"


def costs(window: Window) -> str:
    return (
        f"SELECT tenant, meter, {window.stretch('billed_us')} AS stretch, sum(sign * quantity_micro), "
        "coalesce(sum(sign * amount_micro), 0), coalesce(sum(sign) FILTER (amount_micro IS NULL), 0), "
        f"coalesce(currency, '') FROM cost_billed WHERE {window.holds('billed_us')} "
        "GROUP BY tenant, meter, stretch, currency ORDER BY 1, 2, 3, 7"
    )


# ``kept``: verified claims that were not taken back in time. A claim counts once, however often it was verified.
KEPT = (
    "WITH net AS (SELECT coalesce(nullif(claim, ''), id) AS key, tenant, outcome, status, min(billed_us) AS t, "
    "max(clawback_until_us) AS until_us, max(value_micro) AS value, max(currency) AS currency, "
    "max(root_run) AS root_run FROM outcomes_billed GROUP BY 1, 2, 3, 4 HAVING sum(sign) > 0), "
    "allowed AS (SELECT key, tenant, outcome, max(until_us) AS until_us FROM net GROUP BY 1, 2, 3), "
    "kept AS (SELECT v.* FROM net v JOIN allowed a USING (key, tenant, outcome) "
    "LEFT JOIN net r ON r.key = v.key AND r.tenant = v.tenant AND r.outcome = v.outcome AND r.status = 'reversed' "
    "WHERE v.status = 'verified' AND (r.key IS NULL OR r.t > a.until_us)) "
)


def outcomes(window: Window) -> str:
    return (
        f"{KEPT}SELECT tenant, outcome, {window.stretch('t')} AS stretch, count(*), coalesce(sum(value), 0), "
        "count(*) FILTER (value IS NULL), coalesce(currency, '') FROM kept "
        f"WHERE {window.holds('t')} GROUP BY tenant, outcome, stretch, currency ORDER BY 1, 2, 3, 7"
    )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
