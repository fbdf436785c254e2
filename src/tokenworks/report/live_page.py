"""Twin and live side by side as one page: curves over each other, requests in flight, every figure with its bound."""

from __future__ import annotations

from html import escape

import numpy as np

from tokenworks.rehearsal.live.compare import Comparison, Side
from tokenworks.rehearsal.live.lines import DRIFT, OK, UNSURE, Line
from tokenworks.rehearsal.live.recorded import Recorded
from tokenworks.report import svg
from tokenworks.report.live_text import MARKS, cells, left_out, legend, traffic, verdict
from tokenworks.report.page_charts import figure
from tokenworks.report.page_charts import legend as keys
from tokenworks.report.page_frame import frame, section

Floats = np.typing.NDArray[np.float64]
BUCKETS = 120
BINS = 160
HEAD = ("", "", "live", "twin", "80% of the twin", "live / twin", "bound")
TONES = {DRIFT: "bad", UNSURE: "warn", OK: "good"}
CURVES = (("ttft_s", "Time to first token"), ("tpot_s", "Time per output token"), ("e2e_s", "End to end"))


def live_page(found: Comparison) -> str:
    """The whole page."""
    tone = TONES[DRIFT if found.lines(DRIFT) else UNSURE if found.lines(UNSURE) or not found.live.timed else OK]
    notes = [legend(found), *dict.fromkeys(side.note for side in found.sides)]
    body = "".join(section(side.service, _side(side, found)) for side in found.sides)
    body += section("How to read this", "".join(f'<p class="note">{escape(note)}</p>' for note in notes))
    about = "; ".join(filter(None, (traffic(found), left_out(found))))
    return frame(f"{found.factory}: twin and live", verdict(found), tone, body, about)


def _side(side: Side, found: Comparison) -> str:
    pairs = [("live", side.live, 1), ("twin", side.twin, 0)][0 if found.live.timed else 1 :]
    charts = [
        figure(
            title,
            svg.cdf(title, [c for name, its, tone in pairs for c in _curve(name, getattr(its, column), tone)], []),
        )
        for column, title in CURVES
    ]
    flying = [_flying(name, its, tone, found.span_s) for name, its, tone in pairs]
    charts.append(figure("Requests in flight", svg.timeline("Requests in flight", flying), read=True))
    return (
        f"<p>{side.requests:,} requests; {side.finished[0]:,} ended live, "
        f"{side.finished[1]:,} in the twin</p>{_table(side.lines)}{keys(['twin', 'live'])}"
        f'<div class="charts">{"".join(charts)}</div>'
    )


def _curve(name: str, values: Floats, tone: int) -> list[svg.Series]:
    values = np.maximum(values[~np.isnan(values)], 1e-5)
    if not len(values):
        return []
    edges = np.geomspace(values.min() * 0.999, values.max() * 1.001, BINS + 1)
    return [svg.Series(name, edges, np.histogram(values, edges)[0].astype(float), tone)]


def _flying(name: str, its: Recorded, tone: int, span_s: float) -> svg.Series:
    """At the beginning of each bucket."""
    times = np.linspace(0.0, max(span_s, 1e-3), BUCKETS)
    ends = np.sort(np.where(np.isnan(its.e2e_s), np.inf, its.end_s))
    came, left = np.searchsorted(its.arrival_s, times, side="right"), np.searchsorted(ends, times, side="right")
    return svg.Series(name, times, (came - left).astype(float), tone)


def _table(lines: tuple[Line, ...]) -> str:
    head = "".join(f"<th{' class=n' if i > 1 else ''}>{escape(said)}</th>" for i, said in enumerate(HEAD))
    rows = ""
    for line in lines:
        mark = f'<td class="{TONES.get(line.state, "")}">{MARKS[line.state]}</td>'
        rows += (
            f"<tr>{mark}<td>{escape(line.what)}</td>"
            + "".join(f"<td class=n>{escape(c)}</td>" for c in cells(line))
            + "</tr>"
        )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
