"""Events as Arrow tables in the ledger's columns: what TAF, rating and reports read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import COST_COLUMNS, USAGE_COLUMNS, AnyEvent, CostEvent, Reversal, UsageEvent

if TYPE_CHECKING:
    import pyarrow as pa


class Row(NamedTuple):
    """One row: an event, or the copy of one that a reversal takes back."""

    event: AnyEvent
    seq: int
    sign: int
    time_us: int


def schema(columns: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


def table(events: Iterable[AnyEvent], kind: str = "usage", first_seq: int = 0) -> pa.Table:
    """Events of a kind (usage or cost), all numbered in their order; a reversal adds the row that it takes back, sign −1.

    Raises InputError for a reversal of what is not there.
    """
    import pyarrow as pa

    columns, wanted = (USAGE_COLUMNS, UsageEvent) if kind == "usage" else (COST_COLUMNS, CostEvent)
    rows = [row for row in _rows(events, first_seq) if isinstance(row.event, wanted)]
    made = {
        "seq": [row.seq for row in rows],
        "sign": [row.sign for row in rows],
        "time_us": [row.time_us for row in rows],
        "tags": [tags_text(row.event.tags) for row in rows],
    }
    for name in columns:
        if name not in made:
            made[name] = [getattr(row.event, name) for row in rows]
    return pa.table({name: made[name] for name in columns}, schema=schema(columns))


def _rows(events: Iterable[AnyEvent], first_seq: int) -> Iterator[Row]:
    held: dict[tuple[str, str], AnyEvent] = {}
    for seq, event in enumerate(events, first_seq):
        if not isinstance(event, Reversal):
            held[event.source, event.id] = event
            yield Row(event, seq, 1, event.time_us)
            continue
        original = held.get((event.of_source, event.of_id))
        if original is None:
            raise InputError(
                f"reversal {event.id} takes back {event.of_source} {event.of_id}, which is not in the export"
            )
        yield Row(original, seq, -1, event.time_us)


def tags_text(tags: Mapping[str, Any]) -> str:
    """JSON with sorted keys; "" where there are none."""
    return msgspec.json.encode(tags, order="sorted").decode() if tags else ""
