"""The page of a plan: one self-contained file in the style of the run report, right in light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tokenworks.plan.result import Option, Plan
from tokenworks.report import plan_charts as charts
from tokenworks.report import plan_words as words
from tokenworks.report.figures import percent, seconds, short, unit, usd
from tokenworks.report.page_charts import details, figure
from tokenworks.report.page_style import SCRIPT, STYLE
from tokenworks.report.plan_racks import stands
from tokenworks.report.water import Bar, waterfall

_DOTS = (
    ".dot{fill:currentColor;stroke-width:1.6}"
    + "".join(f".dot.c{i}{{color:var(--c{i})}}" for i in range(5))
    + ".dot.hollow{fill:none}.dot.faint{opacity:.32}.dot:hover,.dot:focus{stroke:var(--fg);outline:none}"
)


def plan_page(plan: Plan) -> str:
    """The whole page."""
    body = "".join(_sections(plan))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(plan.demand)}: plan – Tokenworks</title><style>{STYLE}{_DOTS}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>"
    )


def _sections(plan: Plan) -> Iterator[str]:
    yield _head(plan)
    if plan.best is None:
        yield _section(
            "Ways out",
            _ways(plan),
            "Each is the smallest move of its limit; the fleet named is the cheapest that then keeps all others.",
        )
    else:
        yield _section(
            "Limits",
            _limits(plan.best),
            "Measured in the twin after its warm-up; 80% is where the truth was in 8 of 10 published measurements like this.",
        )
    if plan.points:
        yield _section(
            "Users against megawatts and dollars",
            _charts(plan),
            "Every dot is a configuration that no other of its kind beats, for the first service at its demand, by the wide "
            "pass. Point at one to see all of it.",
        )
    if plan.best is None:
        return
    yield _section("Where a dollar goes", _waterfall(plan.best))
    yield _section(
        "Capacity over demand",
        _narrow(
            figure(
                "Requests per second that each rehearsed fleet could carry; dashed: asked for",
                charts.capacity(plan.tried),
            )
        ),
    )
    yield _section("Where it stands", stands(plan.best))
    yield _section("Why this one", _why(plan))
    yield _section("What was rehearsed", _tried(plan))
    if plan.refined:
        note = "One setting at a time around the best fleets; kept is what is better under the same limits."
        yield _section("Refined in the twin", _refinements(plan), note)
    yield _section("How it was found", _found(plan))


def _section(title: str, body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


def _narrow(drawn: str) -> str:
    """A chart whose text keeps the size of the page's."""
    return f'<div class="wide">{drawn}</div>'


def _head(plan: Plan) -> str:
    kind = "bad" if plan.best is None else "good"
    aim = ", ".join(words.OBJECTIVES[o] for o in plan.objectives)
    lines = "".join(
        f"<li><b>{escape(s.service)}</b>: {escape(s.model)}, {escape(s.text)}, batch ≤ {s.max_seqs}, {escape(s.settings)}</li>"
        for s in (plan.best.setups if plan.best else ())
    )
    cards = _cards(plan.best) if plan.best else ""
    spare = words.spare_text(plan.best.systems) if plan.best else ""
    return (
        '<header><button id="mode" type="button">light / dark</button>'
        f"<h1>{escape(plan.demand)}: plan</h1>"
        f'<p class="note">objective: {escape(aim)}{", robust" if plan.robust else ""}</p>'
        f'<p class="verdict {kind}" role="status">{escape(words.verdict(plan))}</p><ul class="each">{lines}</ul>'
        f'<div class="cards">{cards}</div><p class="note">{escape(spare)}</p></header>'
    )


def _cards(best: Option) -> str:
    f = best.figures
    band = (
        f"80%: {usd(best.usd_per_mtok_low)}–{usd(best.usd_per_mtok_high)[1:]}"
        if best.usd_per_mtok_high > best.usd_per_mtok_low
        else "by rent, demand"
    )
    cards = (
        ("$/Mtok output", usd(f["usd_per_mtok"]), band),
        ("dollars an hour", usd(f["usd_h"]), f"capex ${short(f['capex_usd'])}"),
        ("power at the meter", unit(f["facility_w"], "W"), f"boards {unit(f['board_w'], 'W')}"),
        ("network", unit(f["network_w"], "W"), f"${short(f['network_usd'])} of capex"),
        ("tokens/J at the meter", short(f["tokens_per_joule"]), f"{short(f['carbon'])} g CO2/Mtok"),
        ("output tokens/s", short(f["tokens_s"]), f"{short(sum(s.rate_s for s in best.setups))} req/s"),
        ("objectives hold", percent(best.held_share), "of draws of the model's error"),
    )
    return "".join(
        f'<div class="card"><span>{escape(a)}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>'
        for a, b, c in cards
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], wide: int = 1) -> str:
    """``wide``: columns of words at the left."""
    cell = lambda tag, i, said: f"<{tag}{'' if i < wide else ' class=n'}>{escape(said)}</{tag}>"  # noqa: E731
    top = "".join(cell("th", i, said) for i, said in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', i, said) for i, said in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table class="full"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _limits(best: Option) -> str:
    rows = [
        (
            m.name,
            words.amount(m.value, m.unit),
            f"{words.amount(m.low, m.unit)}–{words.amount(m.high, m.unit)}" if m.high > m.low else "",
            words.amount(m.limit, m.unit) if m.limit else "none",
            percent(m.use) if m.limit else "",
        )
        for m in best.limits
    ]
    return _table(("", "measured", "80%", "limit", "used"), rows)


def _ways(plan: Plan) -> str:
    clash = f"<p>{escape(words.clash_text(plan))}</p>" if plan.conflict else ""
    rows = "".join(f"<li><b>{escape(words.way_text(w))}</b>: {escape(w.text)}</li>" for w in plan.relaxations)
    return f'{clash}<ol class="each">{rows}</ol>'


def _charts(plan: Plan) -> str:
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


def _waterfall(best: Option) -> str:
    total, start, bars = best.figures["usd_h"] or 1.0, 0.0, []
    for key, name in words.CAUSES.items():
        value = best.figures[key]
        if value > 0:
            bars.append(Bar(name, usd(value), percent(value / total), start / total, value / total, "c0"))
            start += value
    bars.append(Bar("all, an hour", usd(best.figures["usd_h"]), percent(1.0), 0.0, 1.0, "all"))
    return waterfall("cost of an hour by cause", bars)


def _why(plan: Plan) -> str:
    items = []
    if plan.runner_up:
        items.append(f"<b>Runner-up</b>: {escape(words.dearer(plan, plan.runner_up))}: {escape(plan.runner_up.text)}")
    items += [f"<b>Binding</b>: {escape(c.name)}, {escape(c.text)}" for c in plan.binding]
    if not plan.binding:
        items.append("<b>Binding</b>: no limit; the answer is set by prices and by whole servers.")
    items += [f"<b>To win {c.gain:.1%}</b>: {escape(c.name)}: {escape(c.text)}" for c in plan.changes]
    listed = "".join(f"<li>{item}</li>" for item in items)
    swings = "".join(f"<li>{escape(b.name)}: {escape(words.swing_text(plan, b))}</li>" for b in plan.tornado)
    chart = figure(
        f"{words.OBJECTIVES[plan.objectives[0]]} by the wide pass, one input changed at a time", charts.tornado(plan)
    )
    return f'<ul class="each">{listed}</ul>{_narrow(chart)}<ul class="each">{swings}</ul>'


def _tried(plan: Plan) -> str:
    rows = []
    for o in plan.tried:
        f = o.figures
        first, second = (m.value for m in o.limits[:2])
        mark = "yes" if not o.missed else "misses " + ", ".join(what for what, _, _ in o.missed)
        rows.append(
            (words.counted(o.systems), o.text, usd(f["usd_per_mtok"]), f"{usd(f['usd_h'])}", unit(f["facility_w"], "W"),
             short(f["tokens_per_joule"]), seconds(first), seconds(second), percent(o.held_share), mark)
        )  # fmt: skip
    head = ("systems", "how", "$/Mtok", "$/h", "power", "tokens/J", "TTFT p95", "TPOT p95", "sure", "holds")
    return _table(head, rows, wide=2)


def _refinements(plan: Plan) -> str:
    name = plan.objectives[0]
    rows = [
        (r.of, r.text, words.objective(name, r.before), words.objective(name, r.after) if r.after is not None else "",
         "kept" if r.kept else r.said)
        for r in plan.refined
    ]  # fmt: skip
    return _table(("fleet", "setting", "before", "with it", ""), rows, wide=2)


def _found(plan: Plan) -> str:
    left = "".join(f"<li>{escape(why)}: {n:,}</li>" for why, n in plan.left_out[:12])
    notes = "".join(f"<li>{escape(note)}</li>" for note in plan.notes)
    more = f"<details><summary>left out</summary><ul>{left}</ul></details>" if left else ""
    return f'<p>{escape(words.how(plan))}</p><ul class="each">{notes}</ul>{more}'
