"""A catalogue entry as text of at most 80 columns (lists: 100): facts in groups, marks for their status, numbered sources."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tokenworks.catalog.facts import Entry, Fact
from tokenworks.catalog.groups import grouped, summary
from tokenworks.catalog.loader import UnknownEntryError, ids, kinds, load, nearest, path_of, sources
from tokenworks.catalog.values import plain, status_mark, value_text
from tokenworks.errors import InputError

WIDTH, LIST_WIDTH = 80, 100
VALUE_COLUMN, MARKS_COLUMN = 32, 64
BY_NAME = ("accelerators", "models", "systems", "fabrics")  # kinds that are searched by alias, in this order
HINT = "`tokenworks catalog list KIND` gives names, `catalog show ID` the facts."
MARKS = "status: * measured, ? claim, > projection, ~ assumed; no mark: published"


def find(wanted: str) -> Entry:
    """An entry by "kind/id", or by id or alias alone, searched over all kinds."""
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
    for kind in BY_NAME:
        try:
            return load(kind, name)
        except UnknownEntryError:
            continue
    raise _not_found(name)


def _not_found(name: str) -> InputError:
    parts = [f"{k}/{i}" for k in kinds() for i in ids(k) if name.lower() in i]
    if parts:
        return InputError(f"nothing called {name!r} in the catalogue; did you mean {', '.join(parts[:5])}?")
    for kind in BY_NAME:
        if nearest(kind, name):
            return UnknownEntryError(kind, name)
    return InputError(f"nothing called {name!r} in the catalogue; `tokenworks catalog list` shows what there is")


def kinds_text() -> str:
    """One paragraph per kind."""
    lines = []
    for kind in kinds():
        known = ids(kind)
        text = f"{kind} ({len(known)}): {', '.join(known)}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([*lines, "", HINT])


def kind_text(kind: str) -> str:
    """One line per entry: id, the figures that tell entries of the kind apart, name and aliases."""
    entries = [load(kind, entry_id) for entry_id in ids(kind)]
    figures = {entry.id: summary(entry) for entry in entries}
    columns = [max(map(len, figures)) + 2, max(map(len, figures.values())) + 2] if figures else [0, 0]
    lines = []
    for entry in entries:
        also = f" (also {', '.join(entry.aliases)})" if entry.aliases else ""
        left = f"{entry.id:{columns[0]}}{figures[entry.id]:{columns[1] if columns[1] > 2 else 0}}"
        text = textwrap.wrap(entry.name + also, LIST_WIDTH - len(left), break_on_hyphens=False)
        lines += [left + text[0], *(" " * len(left) + line for line in text[1:])]
    return "\n".join(lines)


def entry_text(entry: Entry) -> str:
    """Head, facts by group, what is not known, sources."""
    numbers = {key: n for n, key in enumerate(dict.fromkeys(_cited(entry)), 1)}
    also = f", also {', '.join(entry.aliases)}" if entry.aliases else ""
    lines = [*textwrap.wrap(entry.name, WIDTH), *textwrap.wrap(f"{entry.kind}/{entry.id}{also}", WIDTH, **_indents(0))]
    for title, keys in grouped(entry):
        lines += ["", title]
        nothing = [key for key in keys if entry.kind == "models" and entry[key] in (0, False)]
        for key in keys:
            if key not in nothing:
                lines += _fact_lines(key, entry.facts[key], numbers)
        lines += textwrap.wrap(f"none or no: {', '.join(nothing)}", WIDTH, **_indents(2)) if nothing else []
    lines += [*_missing_lines(entry), *_table_lines(entry)]
    return "\n".join([*lines, "", *_source_lines(numbers), "", MARKS])


def _fact_lines(key: str, fact: Fact, numbers: dict[str, int]) -> Iterator[str]:
    mark = f"{status_mark(fact.status)} {fact.date} [{numbers[fact.source]}]"
    value = textwrap.wrap(value_text(fact), MARKS_COLUMN - VALUE_COLUMN - 1)
    name = f"  {key}"
    if len(name) >= VALUE_COLUMN:
        yield name
        name = ""
    yield f"{name:{VALUE_COLUMN}}{value[0]:{MARKS_COLUMN - VALUE_COLUMN}}{mark}"
    yield from (" " * VALUE_COLUMN + line for line in value[1:])
    others = [f"{plain(o['value'])} ({o['date']} [{numbers[o['source']]}])" for o in fact.other]
    for text in [fact.note, f"other sources say {', '.join(others)}" if others else ""]:
        yield from textwrap.wrap(text, WIDTH, **_indents(VALUE_COLUMN))


def _cited(entry: Entry) -> Iterator[str]:
    yield from (fact.source for fact in entry.facts.values())
    yield from (other["source"] for fact in entry.facts.values() for other in fact.other)


def _indents(columns: int) -> dict[str, Any]:
    return {"initial_indent": " " * columns, "subsequent_indent": " " * columns, "break_on_hyphens": False}


def _missing_lines(entry: Entry) -> Iterator[str]:
    if entry.missing:
        yield from ("", "Not known")
    for reason in dict.fromkeys(entry.missing.values()):
        keys = [key for key, why in entry.missing.items() if why == reason]
        yield from textwrap.wrap(f"{', '.join(keys)}: {reason}", WIDTH, **_indents(2))


def _table_lines(entry: Entry) -> Iterator[str]:
    """Further tables of the file, for instance an engine's eras: one paragraph per row."""
    for title, table in entry.extra.items():
        rows = table if isinstance(table, list) else [table]
        yield from ("", title.replace("_", " ").capitalize())
        for row in rows:
            pairs = row.items() if isinstance(row, dict) else [("", row)]
            text = "; ".join(f"{key} {_cell(value)}".strip() for key, value in pairs)
            yield from textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else plain(value)


def _source_lines(numbers: dict[str, int]) -> Iterator[str]:
    known = sources()
    for key, number in numbers.items():
        source = known.get(key)
        text = f"{source['title']}. {source['publisher']}" if source else f"{key} (your own entry)"
        url = source["url"] if source and source["url"].startswith(("http", "arXiv")) else ""
        line = f"[{number}] {text}{f', {url}' if url and url not in text else ''}"
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def entry_json(entry: Entry) -> str:
    facts = {key: asdict(fact) for key, fact in entry.facts.items()}
    head = {"kind": entry.kind, "id": entry.id, "name": entry.name, "aliases": entry.aliases}
    return json.dumps({**head, "facts": facts, "missing": entry.missing}, indent=1)


def entry_toml(entry: Entry) -> str:
    """The entry's file as it stands."""
    return path_of(entry.kind, entry.id).read_text(encoding="utf-8").rstrip("\n")
