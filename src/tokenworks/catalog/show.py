"""A catalogue entry as text: one line per fact, with unit, status, date and source."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict

from tokenworks.catalog.facts import Entry
from tokenworks.catalog.loader import ids, kinds, load, sources
from tokenworks.errors import InputError

WIDTH = 100


def find(wanted: str) -> Entry:
    """An entry by "kind/id" or by id alone, searched over all kinds."""
    kind, _, name = wanted.rpartition("/")
    if kind:
        if kind not in kinds():
            raise InputError(f"no kind {kind!r}; there are {', '.join(kinds())}")
        return load(kind, name)
    homes = [k for k in kinds() if name in ids(k)]
    if len(homes) > 1 and "prices" in homes:
        homes.remove("prices")
    if len(homes) == 1:
        return load(homes[0], name)
    if homes:
        raise InputError(f"{name!r} is in {', '.join(homes)}: write for example {homes[0]}/{name}")
    for k in ("accelerators", "models", "systems"):
        if any(name.lower() in known or known in name.lower() for known in ids(k)):
            return load(k, name)
    raise InputError(f"nothing called {name!r} in the catalogue; `tokenworks catalog list` shows what there is")


def entry_text(entry: Entry) -> str:
    """Columns: fact, value with unit, status, date, source; notes below; sources spelled out at the end."""
    lines = [f"{entry.name}  [{entry.kind}/{entry.id}]", ""]
    for key, fact in entry.facts.items():
        value = (
            fact.value
            if not isinstance(fact.value, list)
            else "[" + ", ".join(map(str, fact.value[:4])) + (", …]" if len(fact.value) > 4 else "]")
        )
        lines.append(f"{key:30} {f'{value} {fact.unit}'[:34]:34} {fact.status:10} {fact.date:8} {fact.source}")
        lines += textwrap.wrap(fact.note, WIDTH, initial_indent=" " * 31, subsequent_indent=" " * 31)
    known = sources()
    lines.append("")
    for key in dict.fromkeys(fact.source for fact in entry.facts.values()):
        source = known.get(key)
        lines.append(f"{key}: {source['title']}, {source['publisher']}" if source else f"{key}: unknown source")
    return "\n".join(lines)


def entry_json(entry: Entry) -> str:
    facts = {key: asdict(fact) for key, fact in entry.facts.items()}
    return json.dumps({"kind": entry.kind, "id": entry.id, "name": entry.name, "facts": facts}, indent=1)
