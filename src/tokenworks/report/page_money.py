"""Cost in the HTML report: waterfall by cause, allocation to services and purposes, prices of tokens."""

from __future__ import annotations

import math
from html import escape

from tokenworks.economics.allocation import PURPOSES, UNUSED, in_parts
from tokenworks.events.results import Money, RunResult
from tokenworks.report import water
from tokenworks.report.figures import percent, short, usd
from tokenworks.report.water import Bar


def money(result: RunResult) -> str:
    """The whole section."""
    found = result.money
    return waterfall(found) + f'<div class="two"><div>{_prices(found)}</div><div>{_allocation(result)}</div></div>'


def waterfall(found: Money) -> str:
    """Bars that begin where the one before ends, then their sum."""
    total = found.total_usd or 1.0
    rows, start = [], 0.0
    for part in found.parts:
        share = part.value / total
        rows.append(Bar(part.label, usd(part.value), percent(share), start / total, share, "c0"))
        start += part.value
    whole = 1.0 if found.total_usd else 0.0
    rows.append(Bar("total", usd(found.total_usd), percent(whole), 0.0, whole, "all"))
    return water.waterfall("cost of the run by cause", rows)


def _prices(found: Money) -> str:
    rows = (
        ("output: all cost over output tokens", found.usd_per_mtok_output),
        ("blended: all cost over input and output", found.usd_per_mtok_blended),
        ("input: computing prompts and half of reading them", found.usd_per_mtok_input),
        ("cached input: reload and half of reading it", found.usd_per_mtok_cached),
        ("output: decode's busy time alone", found.usd_per_mtok_decode),
    )
    said = lambda value: usd(value) if value else "none used"  # noqa: E731
    body = "".join(f'<tr><td>{escape(name)}</td><td class="n">{said(value)}</td></tr>' for name, value in rows)
    body += f'<tr><td>output tokens per dollar</td><td class="n">{short(found.tokens_per_usd)}</td></tr>'
    return f'<h3>Dollars per million tokens</h3><table class="full"><tbody>{body}</tbody></table>'


def _allocation(result: RunResult) -> str:
    """Dollars by service and purpose; the cells add up to the total as printed."""
    rows = result.money.allocation
    if not rows:
        return ""
    places = decimals(result.money.total_usd)
    units = dict(zip([(r.parent, r.label) for r in rows], in_parts([r.value for r in rows], 10**places), strict=True))
    names = [s.name for s in result.services]
    head = "".join(f'<th class="n">{escape(p)}</th>' for p in ("", *PURPOSES, "sum"))
    lines = [_line(name, [units[name, purpose] for purpose in PURPOSES], places) for name in names]
    unused = units["", UNUSED]
    lines.append(_line(UNUSED, [*[0] * (len(PURPOSES) - 1), unused], places))
    sums = [sum(units[name, purpose] for name in names) for purpose in PURPOSES]
    lines.append(_line("total", [*sums[:-1], sums[-1] + unused], places))
    return (
        f'<h3>Who pays for what, by GPU time</h3><div class="scroll"><table class="full"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def decimals(total: float) -> int:
    """Digits after the point that show four figures of a sum; cents at least.

    >>> decimals(132.87), decimals(0.0213)
    (2, 5)
    """
    return 2 if total >= 10 else 3 - math.floor(math.log10(total)) if total > 0 else 2


def _line(name: str, units: list[int], places: int) -> str:
    cells = "".join(f'<td class="n">{u / 10**places:,.{places}f}</td>' for u in (*units, sum(units)))
    sums = ' class="sum"' if name == "total" else ""
    return f"<tr{sums}><td>{escape(name)}</td>{cells}</tr>"
