"""Charts of residuals: one small chart per input, one line per bucket, all on the same axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from tokenworks.accuracy.residual_buckets import Band, Buckets

WIDTH, LINE, TOP = 360, 18, 20
LEFT, RIGHT = 138, 44  # of the plot: labels on one side, counts on the other
LONGEST = 18  # characters of a label
SCALES = (math.log(1.5), math.log(2.5), math.log(5.0))
TICKS = ((1.25, 1.0, 0.8), (2.0, 1.0, 0.5), (4.0, 2.0, 1.0, 0.5, 0.25))
SLIGHT = math.log(1.05)  # a median nearer to 0 than this is drawn as neither


def signed(log: float) -> str:
    """A log error as percent over or under what was measured.

    >>> signed(math.log(2)), signed(math.log(0.8)), signed(0.0), signed(math.log(21))
    ('+100%', '−20%', '0%', '×21')
    """
    share = math.expm1(log)
    if share >= 9.995:
        return f"×{math.exp(log):.0f}"
    said = f"{share:+.0%}".replace("-", "−")
    return "0%" if said in ("+0%", "−0%") else said


def scale_of(bands: Sequence[Band]) -> int:
    """The narrowest scale on which nine of ten bands lie whole."""
    ends = sorted(max(-b.low, b.high, 0.0) for b in bands)
    wide = ends[min(len(ends) - 1, int(0.9 * len(ends)))] if ends else 0.0
    return next((i for i, scale in enumerate(SCALES) if wide <= scale), len(SCALES) - 1)


def chart(number: int, buckets: Buckets, bands: Mapping[int, Band], scale: int) -> str:
    """One input's chart; a bucket can be clicked to list its rows. ``number``: of the input, for the page's script."""
    height = TOP + LINE * len(bands) + 4
    body = _axis(scale, height)
    body += "".join(
        _line(number, b, buckets.labels[b], bands[b], TOP + LINE * i, scale) for i, b in enumerate(sorted(bands))
    )
    title = escape(buckets.title)
    return (
        f'<figure><figcaption>{title}</figcaption><svg class="err" viewBox="0 0 {WIDTH} {height}" role="group" '
        f'aria-label="Error by {title}">{body}</svg></figure>'
    )


def _x(log: float, scale: int) -> float:
    middle, half = (LEFT + WIDTH - RIGHT) / 2, (WIDTH - RIGHT - LEFT) / 2
    return middle + max(-1.0, min(1.0, log / SCALES[scale])) * half


def _axis(scale: int, height: int) -> str:
    parts = []
    for factor in TICKS[scale]:
        x = _x(math.log(factor), scale)
        kind = "zero" if factor == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 3}" y2="{height - 2}"/>')
        parts.append(f'<text class="t" x="{x:.0f}" y="{TOP - 7}">{signed(math.log(factor))}</text>')
    return "".join(parts)


def _line(number: int, bucket: int, label: str, band: Band, y: float, scale: int) -> str:
    low, middle, high = (_x(v, scale) for v in (band.low, band.median, band.high))
    tone = "hi" if band.median > SLIGHT else "lo" if band.median < -SLIGHT else "ok"
    said = (
        f"{label}: median {signed(band.median)}, 10–90% {signed(band.low)} to {signed(band.high)}, {band.rows:,} rows"
    )
    shown = label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
    return (
        f'<g class="b {tone}" tabindex="0" role="button" data-c="{number}" data-b="{bucket}"><title>{escape(said)}</title>'
        f'<rect class="hit" y="{y:g}" width="{WIDTH}" height="{LINE}"/>'
        f'<text class="l" x="{LEFT - 8}" y="{y + 13:g}">{escape(shown)}</text>'
        f'<rect class="r" x="{low:.1f}" y="{y + 5:g}" width="{max(2.0, high - low):.1f}" height="8"/>'
        f'<rect class="m" x="{middle - 2:.1f}" y="{y + 2:g}" width="4" height="14"/>'
        f'<text class="n" x="{WIDTH - 3}" y="{y + 13:g}">{band.rows:,}</text></g>'
    )
