"""An upgrade as a page and as JSON."""

from __future__ import annotations

import json
from html import escape

from tokenworks.plan.upgrade.run import Upgrade
from tokenworks.plan.upgrade.size import DEMAND
from tokenworks.report.figures import short, usd
from tokenworks.report.files import plain
from tokenworks.report.plan_frame import frame, section
from tokenworks.report.upgrade_text import DEMAND_HEAD, GROWS, HEAD, TITLES, headline, name_of, of_basis, remarks, rows

FORMAT = "tokenworks-upgrade-1"


def upgrade_json(found: Upgrade) -> str:
    cases = [{**plain(c), "projected": c.projected, "payback_years": found.payback_years(c)} for c in found.cases]
    head = {"format": FORMAT, "factory": found.factory, "today": plain(found.today)}
    return json.dumps({**head, "cases": cases}, ensure_ascii=False, indent=1, allow_nan=False)


def upgrade_page(found: Upgrade) -> str:
    """The whole page."""
    body = ""
    for basis, title in TITLES.items():
        note = "" if basis == DEMAND else GROWS[0].upper() + GROWS[1:] + "."
        body += section(title, _bars(found, basis) + _table(found, basis), note)
    body += section(
        "Read with this", "<ul class=each>" + "".join(f"<li>{escape(s)}</li>" for s in remarks(found)) + "</ul>"
    )
    return frame(f"{found.factory}: upgrade", headline(found), "good", body)


def _bars(found: Upgrade, basis: str) -> str:
    """$/Mtok and tokens per second, or for one demand the watts, side by side; projections in another colour."""
    second = ("facility_w", "facility watts") if basis == DEMAND else ("output_tokens_s", "output tokens/s")
    panels = "".join(f"<div>{_panel(found, basis, *of)}</div>" for of in (("usd_per_mtok", "$/Mtok"), second))
    return f'<div class="two">{panels}</div>'


def _panel(found: Upgrade, basis: str, figure: str, title: str) -> str:
    given = [("today", found.today, "all")]
    given += [(name_of(c), c, "c4" if c.projected else "c0") for c in of_basis(found, basis) if c.built]
    top = max(float(case.row[figure]) for _, case, _ in given) or 1.0
    lines = ""
    for name, case, kind in given:
        value = float(case.row[figure])
        bar = f'<div><i class="fill {kind}" style="left:0;width:{value / top:.3%}"></i></div>'
        said = usd(value) if figure.startswith("usd") else short(value)
        times = f"×{value / float(found.today.row[figure]):.3g}"
        lines += (
            f'<tr><td class="w">{escape(name)}</td><td class="track">{bar}</td><td class="n">{said}</td>'
            f'<td class="n">{times}</td></tr>'
        )
    return (
        f'<h3>{escape(title)}</h3><table class="full water" aria-label="{escape(title)}"><tbody>{lines}</tbody></table>'
    )


def _table(found: Upgrade, basis: str) -> str:
    head = DEMAND_HEAD if basis == DEMAND else HEAD
    cells = "".join(f"<th{' class=n' if 0 < i < len(head) - 1 else ''}>{escape(h)}</th>" for i, h in enumerate(head))
    lines = ""
    for row in rows(found, basis):
        if row.cells:
            *numbers, state = row.cells
            said = "".join(f'<td class="n">{escape(cell)}</td>' for cell in numbers) + f"<td>{escape(state)}</td>"
        else:
            said = f'<td colspan="{len(head) - 1}">{escape(row.reason)}</td>'
        lines += f'<tr><td class="w">{escape(row.name)}</td>{said}</tr>'
    return (
        f'<div class="scroll"><table class="full"><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'
    )
