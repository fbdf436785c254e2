"""Waterfalls in HTML: rows whose bars begin where the one before ends, and a last row for the sum."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Bar(NamedTuple):
    """One row; ``left`` and ``width`` as shares of the track, ``amount`` and ``share`` in words."""

    name: str
    amount: str
    share: str
    left: float
    width: float
    tone: str


def waterfall(label: str, bars: Sequence[Bar]) -> str:
    """A table whose last row is the sum."""
    rows = "".join(_row(bar, at == len(bars) - 1) for at, bar in enumerate(bars))
    return f'<table class="full water" aria-label="{escape(label)}"><tbody>{rows}</tbody></table>'


def _row(bar: Bar, last: bool) -> str:
    fill = f'<div><i class="fill {bar.tone}" style="left:{bar.left:.4%};width:{bar.width:.4%}"></i></div>'
    sums = ' class="sum"' if last else ""
    return (
        f'<tr{sums}><td>{escape(bar.name)}</td><td class="track">{fill}</td><td class="n">{bar.amount}</td>'
        f'<td class="n">{bar.share}</td></tr>'
    )
