"""A flame graph of one run, as inline SVG: width is time, tokens, dollars or joules, as the reader chooses.

Every cell carries its place under each measure, so that the page's script only moves rectangles; without the script,
and on paper, it shows the first measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tokenworks.report.figures import short, unit
from tokenworks.report.run_tree import MEASURES, Node, summed

WIDTH, ROW = 1000, 26
SEEN = 0.0015  # of the whole: cells narrower than this under every measure are drawn together
LETTER = 7.8  # width of a letter
TONES = {"run": "c5", "final": "c1", "reason": "c3", "verify": "c2", "retry": "limit", "failed": "limit", "cost": "c4"}
UNITS = ("s", "tokens", "USD", "J")

SCRIPT = """
(()=>{for(const box of document.querySelectorAll('.flame')){const cells=[...box.querySelectorAll('g')];
const show=m=>{for(const g of cells){const[x,w]=g.dataset.at.split(';')[m].split(',').map(Number);
const r=g.firstElementChild,t=g.lastElementChild,name=g.dataset.name,room=Math.floor((w-6)/7.8);
r.setAttribute('x',x);r.setAttribute('width',Math.max(0,w-1));t.setAttribute('x',x+4);
t.textContent=room<3?'':name.length>room?name.slice(0,room-1)+'…':name}
for(const b of box.querySelectorAll('button'))b.setAttribute('aria-pressed',+b.dataset.m===m)};
for(const b of box.querySelectorAll('button'))b.onclick=()=>show(+b.dataset.m)}})();
"""
STYLE = """
.flame button{background:none;border:1px solid var(--line);color:var(--fg);border-radius:6px;padding:3px 10px;margin:0 6px 8px 0;cursor:pointer;font-size:13px}
.flame button[aria-pressed=true]{background:var(--c0);color:var(--bg);border-color:var(--c0)}.flame button:disabled{opacity:.45;cursor:default}
.flame rect{stroke:none;fill:var(--c0);fill-opacity:.34}.flame rect.c1{fill:var(--c1)}.flame rect.c2{fill:var(--c2)}.flame rect.c3{fill:var(--c3)}
.flame rect.c4{fill:var(--c4)}.flame rect.c5{fill:var(--c5);fill-opacity:.3}.flame rect.limit{fill:var(--bad)}.flame g:hover rect{fill-opacity:.75}
@media print{.flame button{display:none}}
"""


@dataclass(frozen=True)
class Cell:
    """One rectangle: its depth, and (left, width) under each measure in shares of the whole."""

    node: Node
    depth: int
    places: tuple[tuple[float, float], ...]


def flame(root: Node) -> str:
    """Buttons and drawing of one run."""
    cells = list(_cells(root, 0, (0.0,) * len(MEASURES), tuple(w or 1.0 for w in root.weights)))
    height = ROW * (max(cell.depth for cell in cells) + 1)
    first = next((m for m, weight in enumerate(root.weights) if weight), 1)
    body = "".join(_drawn(cell, first) for cell in cells)
    title = f"{root.name}: what the run was made of"
    return (
        f'<div class="flame"><div>{_buttons(root, first)}</div>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{body}</svg></div>"
    )


def _cells(node: Node, depth: int, left: Sequence[float], whole: Sequence[float]) -> Iterator[Cell]:
    shares = [max(0.0, w) / total for w, total in zip(node.weights, whole, strict=True)]
    yield Cell(node, depth, tuple(zip(left, shares, strict=True)))
    at = list(left)
    for child in _merged(node.children, whole):
        yield from _cells(child, depth + 1, at, whole)
        at = [x + max(0.0, w) / total for x, w, total in zip(at, child.weights, whole, strict=True)]


def _merged(children: Sequence[Node], whole: Sequence[float]) -> list[Node]:
    """Neighbours too narrow to be seen become one cell that says how many they are."""
    found: list[Node] = []
    narrow: list[Node] = []
    for child in children:
        if max(w / total for w, total in zip(child.weights, whole, strict=True)) < SEEN:
            narrow.append(child)
            continue
        found += [*_together(narrow), child]
        narrow = []
    return [*found, *_together(narrow)]


def _together(narrow: Sequence[Node]) -> list[Node]:
    if len(narrow) < 2:
        return list(narrow)
    kinds = {node.kind for node in narrow}
    kind = kinds.pop() if len(kinds) == 1 else "call"
    return [Node(f"{len(narrow)} small ones", kind, summed(narrow))]


def _buttons(root: Node, first: int) -> str:
    return "".join(
        f'<button type="button" data-m="{m}" aria-pressed="{str(m == first).lower()}"{"" if weight else " disabled"}>'
        f"{name}: {_said(weight, m)}</button>"
        for m, (name, weight) in enumerate(zip(MEASURES, root.weights, strict=True))
    )


def _drawn(cell: Cell, first: int) -> str:
    x, width = (WIDTH * part for part in cell.places[first])
    y = ROW * cell.depth
    at = ";".join(f"{WIDTH * a:.2f},{WIDTH * b:.2f}" for a, b in cell.places)
    figures = " · ".join(_said(w, m) for m, w in enumerate(cell.node.weights))
    name = escape(cell.node.name, quote=True)
    return (
        f'<g data-at="{at}" data-name="{name}"><rect class="{TONES.get(cell.node.kind, "c0")}" x="{x:.2f}" y="{y}" '
        f'width="{max(0.0, width - 1):.2f}" height="{ROW - 2}" rx="2"/><title>{name}: {figures}</title>'
        f'<text x="{x + 4:.2f}" y="{y + 17}">{escape(_fitting(cell.node.name, width))}</text></g>'
    )


def _said(weight: float, measure: int) -> str:
    """
    >>> _said(1_100_000, 1), _said(56_200, 3), _said(303, 0)
    ('1.1 M tokens', '56.2 kJ', '303 s')
    """
    name = UNITS[measure]
    return unit(weight, name) if len(name) == 1 else f"{short(weight)} {name}"


def _fitting(name: str, width: float) -> str:
    """As much of the name as has room.

    >>> _fitting("reasoner", 40.0), _fitting("reasoner", 20.0), _fitting("reasoner", 90.0)
    ('rea…', '', 'reasoner')
    """
    room = int((width - 6) / LETTER)
    if room < 3:
        return ""
    return name if len(name) <= room else name[: room - 1] + "…"
