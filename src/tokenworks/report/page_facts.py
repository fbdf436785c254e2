"""The facts that a run rests on, with value, status, date and source."""

from __future__ import annotations

from html import escape

from tokenworks import catalog
from tokenworks.events.results import RunResult


def assumptions(result: RunResult) -> str:
    """A table of facts; below it the sources by name."""
    if not result.assumptions:
        return '<p class="note">No fact was recorded for this run.</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("fact", "value", "status", "date", "source"))
    rows = "".join(
        f"<tr><td>{escape(a.what)}</td><td>{escape(a.value)}</td><td>{escape(a.status)}</td>"
        f'<td class="w">{escape(a.date)}</td><td>{escape(a.source)}</td></tr>'
        for a in result.assumptions
    )
    table = f'<div class="scroll"><table class="full"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return table + _sources(sorted({a.source for a in result.assumptions}))


def _sources(names: list[str]) -> str:
    known = catalog.sources()
    items = "".join(
        f"<li><b>{escape(name)}</b>: {escape(known[name]['title'])} ({escape(known[name]['publisher'])})</li>"
        for name in names
        if name in known
    )
    return f'<h3>Sources</h3><ul class="each">{items}</ul>' if items else ""
