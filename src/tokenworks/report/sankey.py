"""Flow of energy from left to right as an SVG: a tree whose children sum to their parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenworks.events.results import Share
from tokenworks.report.axes import WIDTH, text
from tokenworks.report.svg import wrap

LEAST = 5e-4  # share of the whole: less is not drawn, the table beside has it
BAR, GAP, LABEL, TALL = 14, 8, 18, 210  # pixels: width of a node, between nodes, least room of a label, whole flow


class _Drawing:
    def __init__(self, parts: Sequence[Share], tones: Mapping[str, str], total: float, depth: int):
        self.tones, self.total = tones, total or 1.0
        self.children: dict[str, list[Share]] = {}
        for part in parts:
            if part.value >= LEAST * self.total:
                self.children.setdefault(part.parent, []).append(part)
        self.step = (WIDTH - 190) / max(1, depth)
        self.ribbons: list[str] = []
        self.nodes: list[str] = []

    def place(self, node: Share, depth: int, y: float) -> float:
        """Draw a node and everything right of it; returns where the next one may begin."""
        x, height = 6 + depth * self.step, max(1.0, node.value / self.total * TALL)
        kind = self.tones.get(node.label, "c5")
        self.nodes.append(f'<rect class="bar {kind}" x="{x:.1f}" y="{y:.1f}" width="{BAR}" height="{height:.1f}"/>')
        said = f"{node.label} {node.value / self.total:.0%}"
        self.nodes.append(text(x + BAR + 5, y + min(height, 26) / 2 + 4, said, "name"))
        leaves, below = y, y
        # the child that divides further goes first: its branches then have the room above its siblings' labels
        for child in sorted(self.children.get(node.label, ()), key=lambda c: c.label not in self.children):
            self._ribbon(child, (x + BAR, leaves), (x + self.step, below))
            leaves += child.value / self.total * TALL
            below = self.place(child, depth + 1, below)
        return max(below, y + max(height, LABEL) + GAP)

    def _ribbon(self, child: Share, start: tuple[float, float], end: tuple[float, float]) -> None:
        (x0, y0), (x1, y1), thick = start, end, max(1.0, child.value / self.total * TALL)
        middle = (x0 + x1) / 2
        self.ribbons.append(
            f'<path class="ribbon {self.tones.get(child.label, "c5")}" d="M{x0:.1f},{y0:.1f} C{middle:.1f},{y0:.1f} '
            f"{middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f} L{x1:.1f},{y1 + thick:.1f} C{middle:.1f},{y1 + thick:.1f} "
            f'{middle:.1f},{y0 + thick:.1f} {x0:.1f},{y0 + thick:.1f} Z"/>'
        )


def sankey(title: str, root: Share, parts: Sequence[Share], tones: Mapping[str, str]) -> str:
    """``parts`` name their parent; ``tones`` gives the CSS class of a label, grey where it has none."""
    drawing = _Drawing(parts, tones, root.value, _depth(root.label, parts))
    bottom = drawing.place(root, 0, 6.0)
    return wrap("".join(drawing.ribbons + drawing.nodes), title, round(bottom))


def _depth(label: str, parts: Sequence[Share]) -> int:
    below = [part.label for part in parts if part.parent == label]
    return 1 + max(_depth(name, parts) for name in below) if below else 0
