"""The page of a plan: one self-contained file in the style of the run report, right in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tokenworks.plan.result import Option, Plan
from tokenworks.report import plan_charts as charts
from tokenworks.report import plan_words as words
from tokenworks.report.figures import percent, short, unit, usd
from tokenworks.report.page_charts import figure
from tokenworks.report.page_frame import document, section
from tokenworks.report.plan_page_parts import dollars, narrow, points, table
from tokenworks.report.plan_page_why import found, refinements, tried, why
from tokenworks.report.plan_racks import stands

_DOTS = (
    ".dot{fill:currentColor;stroke-width:1.6}"
    + "".join(f".dot.c{i}{{color:var(--c{i})}}" for i in range(5))
    + ".dot.hollow{fill:none}.dot.faint{opacity:.32}.dot:hover,.dot:focus{stroke:var(--fg);outline:none}"
)


def plan_page(plan: Plan) -> str:
    """The whole page."""
    return document(f"{plan.demand}: plan", "".join(_sections(plan)), _DOTS)


def _sections(plan: Plan) -> Iterator[str]:
    yield _head(plan)
    if plan.best is None:
        yield section(
            "Ways out",
            _ways(plan),
            "Each is the smallest move of its limit; the fleet named is the cheapest that then keeps all others.",
        )
    else:
        yield section(
            "Limits",
            _limits(plan.best),
            "Measured in the twin after its warm-up; 80% is where the truth was in 8 of 10 published measurements like this.",
        )
    if plan.points:
        yield section(
            "Users against megawatts and dollars",
            points(plan),
            "Every dot is a configuration that no other of its kind beats, for the first service at its demand, by the wide "
            "pass. Point at one to see all of it.",
        )
    if plan.best is None:
        return
    yield section("Where a dollar goes", dollars(plan.best))
    yield section(
        "Capacity over demand",
        narrow(
            figure(
                "Requests per second that each rehearsed fleet could carry; dashed: asked for",
                charts.capacity(plan.tried),
            )
        ),
    )
    yield section("Where it stands", stands(plan.best))
    yield section("Why this one", why(plan))
    yield section("What was rehearsed", tried(plan))
    if plan.refined:
        note = "One setting at a time around the best fleets; kept is what is better under the same limits."
        yield section("Refined in the twin", refinements(plan), note)
    yield section("How it was found", found(plan))


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
        (
            "dollars an hour",
            usd(f["usd_h"]),
            f"capex ${short(f['capex_usd'])}, network ${short(f['network_usd'])} of it",
        ),
        (
            "power at the meter",
            unit(f["facility_w"], "W"),
            f"boards {unit(f['board_w'], 'W')}, network {unit(f['network_w'], 'W')}",
        ),
        ("tokens/J at the meter", short(f["tokens_per_joule"]), f"{short(f['carbon'])} g CO2/Mtok"),
        ("output tokens/s", short(f["tokens_s"]), f"{short(sum(s.rate_s for s in best.setups))} req/s"),
        ("objectives hold", percent(best.held_share), "of draws of the model's error"),
    )
    return "".join(
        f'<div class="card"><span>{escape(a)}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>'
        for a, b, c in cards
    )


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
    return table(("", "measured", "80%", "limit", "used"), rows)


def _ways(plan: Plan) -> str:
    clash = f"<p>{escape(words.clash_text(plan))}</p>" if plan.conflict else ""
    rows = "".join(f"<li><b>{escape(words.way_text(w))}</b>: {escape(w.text)}</li>" for w in plan.relaxations)
    return f'{clash}<ol class="each">{rows}</ol>'
