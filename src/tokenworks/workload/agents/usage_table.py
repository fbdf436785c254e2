"""Usage events as an Arrow table of USAGE_COLUMNS: what TAF, rating and reports read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tokenworks.events.ledger_events import USAGE_COLUMNS, UsageEvent

if TYPE_CHECKING:
    import pyarrow as pa

ADDED = ("seq", "sign", "tags")  # columns that are no plain fields of an event


def usage_table(events: Iterable[UsageEvent], first_seq: int = 1) -> pa.Table:
    """Events in their order; ``seq`` counts from ``first_seq``, ``sign`` is 1."""
    import pyarrow as pa

    made = list(events)
    columns: dict[str, Any] = {
        name: [getattr(event, name) for event in made] for name in USAGE_COLUMNS if name not in ADDED
    }
    columns["seq"] = range(first_seq, first_seq + len(made))
    columns["sign"] = [1] * len(made)
    columns["tags"] = [tags_text(event.tags) for event in made]
    arrays = {name: pa.array(columns[name], _arrow_type(kind)) for name, kind in USAGE_COLUMNS.items()}
    return pa.table(arrays)


def tags_text(tags: dict[str, str]) -> str:
    """JSON with sorted keys; "" where there are none."""
    return json.dumps(tags, sort_keys=True, separators=(",", ":")) if tags else ""


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return pa.bool_() if kind == "bool" else pa.type_for_alias(kind)
