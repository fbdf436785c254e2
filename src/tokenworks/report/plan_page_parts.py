"""Pieces of a plan's page: its tables, and its charts with what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tokenworks.plan.result import Option, Plan
from tokenworks.report import plan_charts as charts
from tokenworks.report import plan_words as words
from tokenworks.report.figures import percent, short, usd
from tokenworks.report.page_charts import details, figure
from tokenworks.report.water import Bar, waterfall


def table(head: Sequence[str], rows: Sequence[Sequence[str]], wide: int = 1) -> str:
    """``wide``: columns of words at the left."""
    cell = lambda tag, i, said: f"<{tag}{'' if i < wide else ' class=n'}>{escape(said)}</{tag}>"  # noqa: E731
    top = "".join(cell("th", i, said) for i, said in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', i, said) for i, said in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table class="full"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def narrow(drawn: str) -> str:
    """A chart whose text keeps the size of the page's."""
    return f'<div class="wide">{drawn}</div>'


def points(plan: Plan) -> str:
    names = charts.systems_in(plan.points)
    owned = {p.series.replace(", rented", "") for p in plan.points if ", rented" not in p.series}
    once = [p for p in plan.points if ", rented" not in p.series or p.series.replace(", rented", "") not in owned]
    drawn = (
        figure(
            "Output tokens/s per MW at the meter",
            charts.dots("tokens/s/user against tokens/s/MW", charts.edge(once, charts.mega, True), charts.mega, names),
        ),
        figure(
            "$ per million output tokens",
            charts.dots(
                "tokens/s/user against $/Mtok", charts.edge(plan.points, charts.price, False), charts.price, names
            ),
        ),
    )
    rows = [
        (
            p.series,
            p.text,
            f"{p.tokens_s_user:.3g}",
            short(p.tokens_s_mw),
            usd(p.usd_per_mtok),
            "yes" if p.kept else "no",
        )
        for p in plan.points
    ]
    table = details(
        "as a table", ("", "configuration", "tokens/s/user", "tokens/s/MW", "$/Mtok", "keeps all limits"), rows
    )
    return charts.legend(names) + f'<div class="charts">{"".join(drawn)}</div>' + table


def dollars(best: Option) -> str:
    total, start, bars = best.figures["usd_h"] or 1.0, 0.0, []
    for key, name in words.CAUSES.items():
        value = best.figures[key]
        if value > 0:
            bars.append(Bar(name, usd(value), percent(value / total), start / total, value / total, "c0"))
            start += value
    bars.append(Bar("all, an hour", usd(best.figures["usd_h"]), percent(1.0), 0.0, 1.0, "all"))
    return waterfall("cost of an hour by cause", bars)
