"""What agents used, amplified, cost and earned in a rehearsal: the figures of its page and of its lines in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenworks.economics.amplification import TafCost, taf_cost
from tokenworks.events.ledger_events import COST_COLUMNS, MICRO
from tokenworks.events.tables import schema
from tokenworks.ledger.taf import Amplification, Taf, taf
from tokenworks.ledger.waterfall import waterfall
from tokenworks.rehearsal.metering import BEGIN_US, Metered, ended_runs
from tokenworks.report.agent_page import AgentPage, Card, GroupRow, TenantMoney
from tokenworks.report.figures import percent, short, usd
from tokenworks.report.run_tree import Node, run_tree

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.pricing.plan import Plan

RESAMPLES = 200


def agent_figures(title: str, note: str, meters: Metered, plan: Plan | None = None) -> AgentPage:
    """Amplification is of runs that ended: what others will show nobody knows yet. Money is of everything. Raises InputError
    where the plan has no price for what was used."""
    ended, left = _ended(meters.usage)
    agents = taf(ended, ("agent",), resamples=0)
    agent = _most_amplified(agents)
    none = schema(COST_COLUMNS).empty_table()
    whole = next(iter(taf(ended, (), resamples=RESAMPLES)), None)
    priced = next(iter(taf_cost(ended, none, (), resamples=RESAMPLES)), None) if whole else None
    tenants = _tenants(meters, plan) if plan else ()
    return AgentPage(
        title=title,
        note=f"{note}. {_counted(whole, left)}",
        cards=tuple(_cards(whole, priced, meters, tenants)),
        causes=tuple(waterfall(ended)[0].tokens.items()) if whole else (),
        by="agent",
        groups=tuple(_groups(agents, ended, none)) if whole else (),
        tree=_middle(ended, agent) if agent else None,
        tree_note=f"The run in the middle of {agent}: half of its runs processed more tokens. Width is what you choose.",
        tenants=tenants,
    )


def _ended(usage: pa.Table) -> tuple[pa.Table, int]:
    """Events of the runs whose user has seen something, and how many other runs there are."""
    import pyarrow.compute as pc

    ended = ended_runs(usage)
    return ended, len(pc.unique(usage["root_run"])) - len(pc.unique(ended["root_run"]))


def _counted(whole: Taf | None, left: int) -> str:
    ended = whole.runs if whole else 0
    rest = f"; {left:,} were under way or given up at its end and are not in the amplification" if left else ""
    return f"{ended:,} runs ended{rest}"


def _cards(
    whole: Taf | None, priced: TafCost | None, meters: Metered, tenants: Sequence[TenantMoney]
) -> Iterator[Card]:
    if whole:
        yield Card("TAF processed", _times(whole.taf_processed), _interval(whole.taf_processed))
        yield Card("TAF computed", _times(whole.taf_computed), "without cache reads")
    if priced:
        yield Card("TAF cost", _times(priced.taf_cost), "cost of runs over that of the visible answers")
    spent = int(meters.costs.requests.sum())
    idle = meters.costs.total - spent + meters.unused_micro
    yield Card("cost of calls", usd(spent / MICRO), f"and {usd(idle / MICRO)} idle or lost")
    if tenants:
        revenue, cost = sum(t.revenue_micro for t in tenants), spent + idle
        share = percent((revenue - cost) / revenue) if revenue else "–"
        yield Card("revenue", usd(revenue / MICRO), "of the plan")
        yield Card("margin", share, f"{usd((revenue - cost) / MICRO)} after all cost, idle too")


def _times(found: Amplification | None) -> str:
    return f"{short(found.ratio)}×" if found else "–"


def _interval(found: Amplification | None) -> str:
    if found is None or found.interval is None:
        return "too few runs for an interval"
    return f"95%: {short(found.interval[0])} to {short(found.interval[1])}"


def _groups(agents: Sequence[Taf], usage: pa.Table, none: pa.Table) -> Iterator[GroupRow]:
    costs = {row.key: row for row in taf_cost(usage, none, ("agent",), resamples=0)}
    for row in agents:
        cost, whole, computed = costs[row.key].taf_cost, row.taf_processed, row.taf_computed
        yield GroupRow(
            name=row.key[0] or "single requests",
            runs=row.runs,
            processed_tokens=row.processed_tokens,
            visible_tokens=row.visible_tokens,
            taf_processed=whole.ratio if whole else None,
            taf_computed=computed.ratio if computed else None,
            taf_cost=cost.ratio if cost else None,
            percentiles=_spread(whole),
        )


def _spread(found: Amplification | None) -> tuple[float, ...]:
    return tuple(found.percentiles[p] for p in (10, 50, 90)) if found and found.percentiles else ()


def _most_amplified(agents: Sequence[Taf]) -> str:
    """The agent with the highest TAF; "" where no agent has one."""
    known = [(row.taf_processed.ratio, row.key[0]) for row in agents if row.taf_processed]
    return max(((ratio, name) for ratio, name in known if name), default=(0.0, ""))[1]


def _middle(usage: pa.Table, agent: str) -> Node:
    """The run in the middle of an agent's, by tokens."""
    import pyarrow.compute as pc

    theirs = pc.unique(usage.filter(pc.equal(usage["agent"], agent))["root_run"])
    rows = taf(usage.filter(pc.is_in(usage["root_run"], theirs)), ("run",), resamples=0)
    ordered = sorted(rows, key=lambda row: (row.processed_tokens, row.key))
    root = ordered[len(ordered) // 2].key[0]
    return run_tree(root, _rows(usage, root))


def _rows(usage: pa.Table, root: str) -> list[Mapping[str, Any]]:
    import pyarrow.compute as pc

    found: list[Mapping[str, Any]] = usage.filter(pc.equal(usage["root_run"], root)).to_pylist()
    return found


def _tenants(meters: Metered, plan: Plan) -> tuple[TenantMoney, ...]:
    """Revenue and cost of each tenant over the months of the run, idle cost not among them."""
    from tokenworks.pricing.account import Account
    from tokenworks.pricing.measure import Tables
    from tokenworks.pricing.simulate import simulate

    used = _known(meters.usage)
    names = sorted(set(used["tenant"].to_pylist()))
    begin = _day(BEGIN_US)
    accounts = [Account.model_validate({"tenant": name, "plan": plan.plan, "from": begin}) for name in names]
    sums: dict[str, list[Decimal]] = {name: [Decimal(0), Decimal(0)] for name in names}
    for label in _months(used):
        for row in simulate([plan], accounts, Tables(usage=used), label)[0].results:
            sums[row.tenant][0] += row.revenue
            sums[row.tenant][1] += row.cost
    return tuple(TenantMoney(name, round(r * MICRO), round(c * MICRO)) for name, (r, c) in sums.items())


def _known(usage: pa.Table) -> pa.Table:
    """Without calls that wait for their first token at the end: nobody knows yet what they will use."""
    import pyarrow.compute as pc

    return usage.filter(pc.is_valid(usage["input_fresh"]))


def _day(at_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).date().isoformat()


def _months(usage: pa.Table) -> list[str]:
    import pyarrow.compute as pc

    first, last = _day(BEGIN_US), _day(pc.max(usage["time_us"]).as_py())
    year, month, found = int(first[:4]), int(first[5:7]), list[str]()
    while (label := f"{year}-{month:02d}") <= last[:7]:
        found.append(label)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found
