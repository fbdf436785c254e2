"""Tables of plain text: columns as wide as they need to be, the last one cut where a line would be too long."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 80


def clipped(said: str, room: int) -> str:
    """
    >>> clipped("a long story", 6), clipped("short", 6)
    ('a lon…', 'short')
    """
    return said if len(said) <= room else said[: max(0, room - 1)] + "…"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: int, most: int = 16, first: int = 0, width: int = WIDTH
) -> list[str]:
    """Lines of a table: the first ``left`` columns and the last one begin at the left, the others end at the right. Cells
    are cut to ``most``, those of the first column to ``first`` where that is given, lines to ``width``.

    >>> table(("name", "value", "note"), (("a", "1", "x"), ("bc", "22", "y")), 1)
    ['name  value  note', 'a         1  x', 'bc       22  y']
    """
    cut = [[clipped(row[0], first or most), *(clipped(c, most) for c in row[1:-1]), row[-1]] for row in (head, *rows)]
    sizes = [max(len(row[i]) for row in cut) for i in range(len(head))]
    last = len(head) - 1
    lines = []
    for row in cut:
        cells = [
            c.ljust(s) if i < left or i == last else c.rjust(s) for i, (c, s) in enumerate(zip(row, sizes, strict=True))
        ]
        lines.append(clipped("  ".join(cells).rstrip(), width))
    return lines
