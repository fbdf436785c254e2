"""The page of what agents used and earned: amplification and its causes, one run as a flame graph, money by tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tokenworks.events.ledger_events import MICRO
from tokenworks.report.figures import percent, usd
from tokenworks.report.flame import SCRIPT as FLAME_SCRIPT
from tokenworks.report.flame import STYLE as FLAME_STYLE
from tokenworks.report.flame import flame
from tokenworks.report.page_frame import document, section
from tokenworks.report.run_tree import Node
from tokenworks.report.water import Bar, waterfall

COST_NOTE = "Cost is that of the tenant's calls; idle time belongs to nobody."
WORDS = {
    "visible": "the answer that the user saw",
    "prompt": "the task itself, read once",
    "reading_again": "reading the context again",
    "reasoning": "reasoning and drafts",
    "tools": "tool calls and their results",
    "sub_agents": "sub-agents",
    "retries": "retries and failed attempts",
    "corrections": "taken back",
}


@dataclass(frozen=True)
class Card:
    """One of the figures at the top."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class GroupRow:
    """Amplification of one agent, tenant or model; None where nobody knows."""

    name: str
    runs: int
    processed_tokens: int
    visible_tokens: int | None
    taf_processed: float | None
    taf_computed: float | None
    taf_cost: float | None
    percentiles: tuple[float, ...] = ()  # of taf_processed over runs: 10, 50, 90


@dataclass(frozen=True)
class TenantMoney:
    """What a tenant paid and what its tokens cost, in micro-dollars."""

    tenant: str
    revenue_micro: int
    cost_micro: int


@dataclass(frozen=True)
class AgentPage:
    """Everything that the page shows."""

    title: str
    note: str
    cards: Sequence[Card]
    causes: Sequence[tuple[str, int]]  # tokens; they sum to the processed ones
    by: str  # what the groups are
    groups: Sequence[GroupRow]
    tree: Node | None
    tree_note: str
    tenants: Sequence[TenantMoney]


def agent_page(found: AgentPage) -> str:
    """The whole page, self-contained."""
    sections = [
        section("Where amplification comes from", causes(found.causes)),
        section(f"Amplification by {found.by}", groups(found.by, found.groups)),
    ]
    if found.tree:
        sections.append(section("One run", flame(found.tree), found.tree_note))
    if found.tenants:
        sections.append(section("Money by tenant", money(found.tenants), COST_NOTE))
    cards = "".join(
        f'<div class="card"><span>{escape(c.label)}</span><b>{escape(c.value)}</b><small>{escape(c.note)}</small></div>'
        for c in found.cards
    )
    head = (
        f'<header><button id="mode" type="button">light / dark</button><h1>{escape(found.title)}</h1>'
        f'<p class="note">{escape(found.note)}</p><div class="cards">{cards}</div></header>'
    )
    return document(found.title, head + "".join(sections), FLAME_STYLE, FLAME_SCRIPT)


def causes(found: Sequence[tuple[str, int]]) -> str:
    """A waterfall: each bar begins where the one before ends; what was taken back goes left."""
    total = sum(tokens for _, tokens in found)
    whole = sum(tokens for _, tokens in found if tokens > 0) or 1
    rows, start = [], 0
    for name, tokens in found:
        if not tokens:
            continue
        left = start if tokens > 0 else start + tokens
        tone = "c1" if name == "visible" else "c0"
        rows.append(_bar(WORDS.get(name, name), tokens, left / whole, abs(tokens) / whole, tone, total))
        start += tokens
    rows.append(_bar("processed", total, 0.0, total / whole, "all", total))
    return waterfall("tokens by cause", rows)


def _bar(name: str, tokens: int, left: float, width: float, tone: str, total: int) -> Bar:
    return Bar(name, f"{tokens:,}", percent(tokens / total) if total else "–", left, width, tone)


def groups(by: str, rows: Sequence[GroupRow]) -> str:
    heads = (by, "runs", "tokens processed", "visible", "TAF processed", "p10 / p50 / p90", "computed", "cost")
    head = f"<th>{heads[0]}</th>" + "".join(f'<th class="n">{name}</th>' for name in heads[1:])
    body = "".join(_group(row) for row in rows)
    return (
        f'<div class="scroll"><table class="full"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        '<p class="note">TAF: tokens processed over tokens of the visible answer, sum over sum; computed: without cache reads; '
        "cost: cost of the runs over the cost of the visible output alone. –: nobody knows what was visible, or what it cost.</p>"
    )


def _group(row: GroupRow) -> str:
    spread = " / ".join(f"{p:,.1f}" for p in row.percentiles) or "–"
    visible = "–" if row.visible_tokens is None else f"{row.visible_tokens:,}"
    counts = (f"{row.runs:,}", f"{row.processed_tokens:,}", visible)
    cells = (*counts, _times(row.taf_processed), spread, _times(row.taf_computed), _times(row.taf_cost))
    return f"<tr><td>{escape(row.name)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:,.2f}×"


def money(tenants: Sequence[TenantMoney]) -> str:
    """Cost and revenue of each tenant as bars on one scale, and the margin; the sum last."""
    most = max(max(t.revenue_micro, t.cost_micro) for t in tenants) or 1
    total = TenantMoney("all", sum(t.revenue_micro for t in tenants), sum(t.cost_micro for t in tenants))
    body = "".join(_tenant(tenant, most) for tenant in tenants) + _tenant(total, 0)
    head = '<th>tenant</th><th></th><th class="n">revenue</th><th class="n">cost</th><th class="n">margin</th><th class="n">%</th>'
    return (
        '<ul class="legend"><li><i class="key c1"></i>revenue</li><li><i class="key c0"></i>cost</li></ul>'
        f'<div class="scroll"><table class="full water"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _tenant(tenant: TenantMoney, most: int) -> str:
    margin = tenant.revenue_micro - tenant.cost_micro
    share = percent(margin / tenant.revenue_micro) if tenant.revenue_micro else "–"
    bars = "".join(
        f'<div style="height:9px;background:none"><i class="fill {tone}" style="height:8px;width:{micro / most:.4%}"></i></div>'
        for tone, micro in (("c1", tenant.revenue_micro), ("c0", tenant.cost_micro))
        if most
    )
    figures = (usd(tenant.revenue_micro / MICRO), usd(tenant.cost_micro / MICRO), usd(margin / MICRO), share)
    cells = "".join(f'<td class="n">{cell}</td>' for cell in figures)
    sums = "" if most else ' class="sum"'
    return f'<tr{sums}><td>{escape(tenant.tenant)}</td><td class="track">{bars}</td>{cells}</tr>'
