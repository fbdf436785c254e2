"""The HTML report: one self-contained page, no network, right in light and dark, on paper and on a phone."""

from __future__ import annotations

from html import escape
from pathlib import Path

from tokenworks.events.results import RunResult, WhatIf
from tokenworks.report import page_money, page_services
from tokenworks.report.figures import Figure, six_figures
from tokenworks.report.files import write_whole
from tokenworks.report.page_charts import energy_flow, latencies, timelines
from tokenworks.report.page_facts import assumptions
from tokenworks.report.page_frame import document
from tokenworks.report.tried import advice_note, advice_title, mark, tried
from tokenworks.report.verdict import service_lines, state, verdict

_HOVER = "Move over a chart, or focus it and use the arrow keys: all charts show the same moment."
_DASHED = (
    "Vertical lines are the services' objectives: one holds where its curve crosses the p95 line to the left of it."
)


def write_html(result: RunResult, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, page(result).encode())


def page(result: RunResult) -> str:
    """The whole page."""
    body = "\n".join(
        (
            _head(result),
            _what_ifs(result),
            _section("What happened when", timelines(result), _HOVER, "hint"),
            _section("How long requests took", latencies(result), _DASHED),
            _section("Services", page_services.table(result)),
            _section("Where a joule goes", energy_flow(result)),
            _section("Where a dollar goes", page_money.money(result)),
            _section("How sure is this", _sure(result)),
            _section("What this rests on", assumptions(result)),
        )
    )
    return document(result.factory, body)


def _section(title: str, body: str, note: str = "", kind: str = "") -> str:
    said = f'<p class="note {kind}">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


def _head(result: RunResult) -> str:
    lines = "".join(f"<li><b>{escape(name)}</b>: {escape(said)}</li>" for name, said in service_lines(result))
    cards = "".join(_card(figure) for figure in six_figures(result))
    return (
        '<header><button id="mode" type="button">light / dark</button>'
        f"<h1>{escape(result.factory)}</h1>"
        f'<p class="note">{escape(result.title)}; {result.horizon_s:,.0f} s of factory time, seed {result.seed}</p>'
        f'<p class="verdict {state(result)}" role="status">{escape(verdict(result))}</p><ul class="each">{lines}</ul>'
        f'<div class="cards">{cards}</div><p class="note">{escape(result.trace_note)}</p></header>'
    )


def _card(figure: Figure) -> str:
    return (
        f'<div class="card"><span>{escape(figure.label)}</span><b>{escape(figure.value)}</b>'
        f"<small>{escape(figure.interval)}</small><small>{escape(figure.note)}</small></div>"
    )


def _what_ifs(result: RunResult) -> str:
    """Advice of the twin, and changes that were asked for."""
    found = _section(advice_title(result), _tried(result.advice), advice_note(result))
    if result.what_ifs:
        found += _section("What if, as asked", _tried(result.what_ifs))
    return found


def _tried(changes: tuple[WhatIf, ...]) -> str:
    rows = "".join(
        f"<li>{mark(w)} <b>{escape(w.label)}</b>{escape(tried(w).removeprefix(w.label))}</li>" for w in changes
    )
    return f'<ol class="each">{rows}</ol>' if rows else ""


def _sure(result: RunResult) -> str:
    said = result.accuracy_note or "No interval is shown for this run: its mode or metric has no tested residuals."
    return (
        f"<p>{escape(said)}</p><p class='note'>They were tested on means and medians; a 95th percentile is taken to be as "
        "sure. Prices, tariffs and host power are facts of the catalogue with the status given below; their error is "
        "not in the intervals.</p>"
    )
