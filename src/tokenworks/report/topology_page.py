"""A topology as a page of its own, or as one SVG for slides; right in light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from tokenworks.catalog.values import value_text
from tokenworks.errors import OutputError
from tokenworks.plan.topology.cluster import Topology
from tokenworks.report.files import write_whole
from tokenworks.report.page_charts import figure
from tokenworks.report.page_frame import document
from tokenworks.report.page_style import DARK, LIGHT
from tokenworks.report.png import to_png
from tokenworks.report.slide_style import SLIDE_STYLE
from tokenworks.report.topology_racks import racks_svg
from tokenworks.report.topology_text import (
    headline,
    part_rows,
    reach_rows,
    remarks,
    tier_rows,
    used_facts,
    wiring,
)
from tokenworks.report.topology_tiers import tiers_svg

SVG_STYLE = (
    f"<style>svg{{{LIGHT};background:var(--bg)}}@media(prefers-color-scheme:dark){{svg{{{DARK}}}}}"
    "text{fill:var(--fg);font:13px system-ui,sans-serif}.tick{fill:var(--dim);font-size:12px}.grid{stroke:var(--line)}"
    + "".join(f".bar.c{i}{{fill:var(--c{i})}}" for i in range(5))
    + "</style>"
)


def write_picture(found: Topology, path: Path) -> None:
    """FILE.html: tiers, racks, parts and facts; FILE.svg and FILE.png: the tiers alone. Raises OutputError for other
    endings, InputError for PNG without the extra ``png``."""
    if path.suffix not in PICTURES:
        raise OutputError(f"cannot draw {path}: a picture ends in {', '.join(PICTURES)}")
    write_whole(path, PICTURES[path.suffix](found))


def _png(found: Topology) -> bytes:
    return to_png(tiers_svg(found, SLIDE_STYLE))


def _svg(found: Topology) -> bytes:
    return tiers_svg(found, SVG_STYLE).encode()


def page(found: Topology) -> str:
    """The whole page."""
    title = headline(found)
    body = (
        f'<button id="mode" type="button">light / dark</button><h1>{escape(title)}</h1><p>{escape(wiring(found))}</p>'
        f"<h2>Tiers</h2>{figure('A few switches of each tier stand for all', tiers_svg(found))}"
        f"{_table(('tier', 'switches', 'links down + up', 'all links down', ''), tier_rows(found))}"
        f"{_table(('GPUs together in', 'at most', 'hops', 'GB/s each'), reach_rows(found))}"
        f"<h2>Racks</h2>{_legend(found)}{figure('One square is one rack unless said otherwise', racks_svg(found))}"
        f"<h2>Parts</h2>{_table(('part', 'count', 'kW', '1000 USD', 'failures a day'), _parts(found), last=True)}"
        f"{''.join(f'<p class=note>{escape(text)}</p>' for text in remarks(found))}"
        f"<h2>What this rests on</h2>{_table(('entry', 'fact', 'value', 'status', 'note'), _facts(found), words=True)}"
    )
    return document(title, body)


def _wide(caption: str, chart: str) -> str:
    """A figure that a phone scrolls sideways."""
    return f'<div class="scroll"><div class="wide">{figure(caption, chart)}</div></div>'


def _legend(found: Topology) -> str:
    names = ("systems", *(f"{name} switches" for name in found.tiers))
    items = "".join(f'<li><i class="key c{i % 5}"></i>{escape(name)}</li>' for i, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _parts(found: Topology) -> Iterator[tuple[str, ...]]:
    for name, count, watts, usd, failures in part_rows(found):
        yield name, f"{count:,}" if count else "", f"{watts / 1e3:,.1f}", f"{usd / 1e3:,.0f}", f"{failures:.3f}"


def _facts(found: Topology) -> Iterator[tuple[str, ...]]:
    for entry, key in used_facts(found):
        fact = entry.fact(key)
        yield f"{entry.kind}/{entry.id}", key, value_text(fact), fact.status, fact.note


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]], last: bool = False, words: bool = False) -> str:
    """The first column is words, the others are numbers unless ``words``; ``last``: the last row is the sum."""
    kind = lambda i: ' class="n"' if i and not words else ""  # noqa: E731
    top = "".join(f"<th{kind(i)}>{escape(said)}</th>" for i, said in enumerate(head))
    found = list(rows)
    body = "".join(
        f"<tr{' class=sum' if last and j + 1 == len(found) else ''}>"
        + "".join(f"<td{kind(i)}>{escape(said)}</td>" for i, said in enumerate(row))
        + "</tr>"
        for j, row in enumerate(found)
    )
    wide = ' style="min-width:760px"' if words else ""
    return f'<div class="scroll"><table{wide}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


PICTURES = {".html": lambda found: page(found).encode(), ".svg": _svg, ".png": _png}
