"""What usage cost by tenant, run, agent, tag, cost centre or outcome, in a period: sums of the ledger, never counted
beside it. A reversal counts at the time of what it takes back, as on invoices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from tokenworks.economics.carbon import carbon_ug
from tokenworks.economics.showback import UNTAGGED, Spent, in_parts, place_of
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.pricing import measure_sql as sql
from tokenworks.pricing.measure import THREADS, Tables, open_source
from tokenworks.pricing.periods import Period

By: TypeAlias = Literal["cost-centre", "tag", "tenant", "agent", "run", "outcome"]
KEYS: tuple[By, ...] = ("cost-centre", "tag", "tenant", "agent", "run", "outcome")
NO_OUTCOME = "(no outcome)"
HOUR_US = 3_600_000_000
_COLUMNS = {"tenant": "tenant", "agent": "agent", "run": "root_run"}
_TOKENS = " + ".join(f"coalesce({bucket}, 0)" for bucket in BUCKETS)
_NOT = "coalesce(sum(sign) FILTER ({}), 0)"
_UNCOUNTED = "input_fresh IS NULL OR output_visible IS NULL"  # an undivided total stands in these two
SUMS = {
    "usage": f"sum(sign), sum(sign * ({_TOKENS})), coalesce(sum(sign * energy_uj), 0), "
    "coalesce(sum(sign * cost_micro_usd), 0), 0, "
    f"{_NOT.format('cost_micro_usd IS NULL')}, {_NOT.format('energy_uj IS NULL')}, {_NOT.format(_UNCOUNTED)}",
    "cost": f"0, 0, 0, 0, coalesce(sum(sign * amount_micro), 0), {_NOT.format('amount_micro IS NULL')}, 0, 0",
}

_FIELDS = ("calls", "tokens", "energy_uj", "usage_micro", "other_micro", "uncosted", "unpowered", "unmeasured")


@dataclass(frozen=True)
class Question:
    """By what is asked, the tag that is meant, and hours of the day ahead of UTC where hours are told apart."""

    by: By
    tag: str = "cost_centre"
    offset_h: float | None = None


@dataclass(frozen=True)
class Row:
    path: tuple[str, ...]
    hour: int  # of the day of the place; 0 where hours are not told apart
    spent: Spent


def spent(tables: Tables, period: Period, question: Question) -> list[Row]:
    """Sums by place and hour. Raises InputError for a tag that occurs nowhere and for costs that are not in dollars."""
    with opened(tables, period) as db:
        if question.by in ("tag", "cost-centre"):
            _require_tag(db, tables, question.tag)
        found = [row for name in kinds_of(tables) for row in _rows(db, name, period, question)]
    if question.by == "outcome":
        return [part for row in found for part in _divided(row)]
    return found


def with_carbon(rows: Sequence[Row], carbon_g_kwh: Sequence[float], pue: float) -> list[Row]:
    """Rows by hour with what the grid emitted for them; ``pue``: joules at the meter over joules of the events."""
    import numpy as np

    hours = np.array([row.hour * HOUR_US for row in rows], np.int64)
    energy = np.array([float(row.spent.energy_uj) for row in rows])  # a month of a factory leaves int64
    grams = carbon_ug(hours, energy, carbon_g_kwh, pue, 0.0)
    return [replace(row, spent=replace(row.spent, carbon_ug=float(ug))) for row, ug in zip(rows, grams, strict=True)]


def outcomes(tables: Tables, period: Period) -> dict[str, int]:
    """Kept outcomes by name, of the runs that spent anything in the period."""
    if tables.outcomes is None:
        return {}
    with opened(tables, period) as db:
        runs = " UNION ".join(
            f"SELECT tenant, root_run FROM {name}_billed WHERE {_window(period).holds('billed_us')}"
            for name in kinds_of(tables)
        )
        query = f"{sql.KEPT} SELECT outcome, count(*) FROM kept JOIN ({runs}) USING (tenant, root_run) GROUP BY 1"
        return {str(name): int(count) for name, count in db.execute(query).fetchall()}


def kinds_of(tables: Tables) -> list[str]:
    return [name for name in SUMS if getattr(tables, name) is not None]


def _window(period: Period) -> sql.Window:
    return sql.Window(period.start_us, period.end_us, (), None)


def opened(tables: Tables, period: Period) -> Any:
    import duckdb

    db = duckdb.connect(config={"threads": THREADS})
    try:
        _views(db, tables, period)
    except BaseException:
        db.close()
        raise
    return db


def _views(db: Any, tables: Tables, period: Period) -> None:
    for name in (*kinds_of(tables), *(["outcomes"] if tables.outcomes is not None else [])):
        open_source(db, name, getattr(tables, name))
        sql.make_view(db, name, _window(period), None)
    if tables.cost is not None:
        other = db.execute("SELECT currency FROM cost WHERE amount_micro IS NOT NULL AND currency <> 'USD' LIMIT 1")
        for (currency,) in other.fetchall():
            raise InputError(f"the ledger has costs in {currency}: the factory's books are in USD")


def _rows(db: Any, name: str, period: Period, question: Question) -> Iterator[Row]:
    hour = "0" if question.offset_h is None else f"(billed_us + {round(question.offset_h * HOUR_US)}) // {HOUR_US} % 24"
    source = f"{name}_billed"
    if question.by == "outcome":
        source += f" LEFT JOIN ({_combinations(db)}) USING (tenant, root_run)"
    query = (
        f"SELECT {_key(question)} AS key, {hour} AS hour, {SUMS[name]} FROM {source} "
        f"WHERE {_window(period).holds('billed_us')} GROUP BY ALL ORDER BY ALL"
    )
    for key, at, *found in db.execute(query).fetchall():
        path = place_of(key) if question.by == "cost-centre" else (key or _nobody(question),)
        yield Row(path, int(at), Spent(**dict(zip(_FIELDS, map(int, found), strict=True))))


def _key(question: Question) -> str:
    if question.by == "outcome":
        return "combination"
    return _COLUMNS.get(question.by) or tag_sql(question.tag)


def tag_sql(tag: str) -> str:
    """The value of a tag as SQL. Raises InputError for a name that no path can hold."""
    if not tag or '"' in tag or "'" in tag or "\\" in tag:
        raise InputError(f"{tag!r} is no name of a tag: write it without quotes")
    return f"json_extract_string(nullif(tags, ''), '$.\"{tag}\"')"


def _nobody(question: Question) -> str:
    return {"tag": UNTAGGED, "outcome": NO_OUTCOME}.get(question.by, f"(no {question.by})")


def _require_tag(db: Any, tables: Tables, tag: str) -> None:
    from tokenworks.spec.messages import near

    said: set[str] = set()
    for name in kinds_of(tables):
        rows = db.execute(f"SELECT DISTINCT unnest(json_keys(nullif(tags, ''))) FROM {name}").fetchall()
        said |= {str(key) for (key,) in rows}
    tag_sql(tag)
    if tag not in said:
        raise InputError(f"no event has a tag {tag!r}{near(tag, sorted(said)) if said else '; none has any tag'}")


def _combinations(db: Any) -> str:
    """Runs with the outcomes that they reached, as one text."""
    if not db.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'outcomes_billed'").fetchall():
        raise InputError("outcomes are asked for, but there is no table of outcomes (--outcomes)")
    return (
        f"{sql.KEPT} SELECT tenant, root_run, to_json(list(outcome ORDER BY outcome))::VARCHAR AS combination "
        "FROM kept WHERE coalesce(root_run, '') <> '' GROUP BY tenant, root_run"
    )


def _divided(row: Row) -> Iterator[Row]:
    """A run that reached several outcomes costs each of them an equal part."""
    (combination,) = row.path
    names: Sequence[str] = [NO_OUTCOME] if combination == NO_OUTCOME else json.loads(combination)
    one = row.spent
    parts = {field: in_parts(getattr(one, field), [1] * len(names)) for field in _FIELDS}
    for at, name in enumerate(names):
        yield Row((name,), row.hour, Spent(**{field: parts[field][at] for field in _FIELDS}))
