"""Why a plan is what it is, on its page: reasons, what was rehearsed and refined, how it was found."""

from __future__ import annotations

from html import escape

from tokenworks.plan.result import Plan
from tokenworks.report import plan_charts as charts
from tokenworks.report import plan_words as words
from tokenworks.report.figures import percent, seconds, short, unit, usd
from tokenworks.report.page_charts import figure
from tokenworks.report.plan_page_parts import narrow, table


def why(plan: Plan) -> str:
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
    return f'<ul class="each">{listed}</ul>{narrow(chart)}<ul class="each">{swings}</ul>'


def tried(plan: Plan) -> str:
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
    return table(head, rows, wide=2)


def refinements(plan: Plan) -> str:
    name = plan.objectives[0]
    rows = [
        (r.of, r.text, words.objective(name, r.before), words.objective(name, r.after) if r.after is not None else "",
         "kept" if r.kept else r.said)
        for r in plan.refined
    ]  # fmt: skip
    return table(("fleet", "setting", "before", "with it", ""), rows, wide=2)


def found(plan: Plan) -> str:
    left = "".join(f"<li>{escape(why)}: {n:,}</li>" for why, n in plan.left_out[:12])
    notes = "".join(f"<li>{escape(note)}</li>" for note in plan.notes)
    more = f"<details><summary>left out</summary><ul>{left}</ul></details>" if left else ""
    return f'<p>{escape(words.how(plan))}</p><ul class="each">{notes}</ul>{more}'
