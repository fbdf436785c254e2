"""One budget, two gateways: processes with callers who all want the rest at once; one of them is killed."""

import asyncio
import json

import pytest
from budget_books import BUCKETS, Drawn, ask, booked, places
from budget_gateway import PLAN, gateways, start
from live_gateway import several

from tokenworks.ledger import Ledger


async def callers(started, count, calls):
    """Each asks one gateway after the other, until it is refused twice in a row."""
    statuses = []

    async def caller(number):
        refused = 0
        for i in range(calls):
            status, _, _ = await started[(number + i) % len(started)].post(ask(f"{number} {i}", 200 + number % 300))
            statuses.append(status)
            refused = refused + 1 if status == 429 else 0
            if refused > 1:
                return

    await asyncio.gather(*(caller(n) for n in range(count)))
    return statuses


def exhausted(tmp_path, kind, count, calls, tokens, usd):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    more = f"""price_plan: {plan}
  budgets: [{{name: t, tokens: {tokens}}}, {{name: d, usd: {usd}}}]"""

    async def case(where):
        async with several([Drawn()]) as (port,), gateways(tmp_path, port, more, where) as started:
            return await callers(started, count, calls)

    with places(kind, tmp_path) as where:
        statuses = asyncio.run(case(where))
        spent, leased, (inputs, outputs) = booked(where)
    pico = 3_000_000 * inputs + 15_000_000 * outputs
    assert set(statuses) <= {200, 429}
    assert 429 in statuses
    assert spent == {"t||total": inputs + outputs, "d||total": pico}  # to the token, and to 10⁻¹² dollars
    assert leased == spent  # all that was not used has come back
    assert inputs + outputs <= tokens
    assert pico <= usd * 10**12
    return statuses, max((inputs + outputs) / tokens, pico / (usd * 10**12))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_gateways_never_exceed_a_budget_and_refunds_settle_exactly(tmp_path, kind):
    statuses, share = exhausted(tmp_path, kind, 40, 20, 60_000, 10)
    assert share > 0.9
    assert statuses.count(200) > 100


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_a_killed_gateway_left_open_is_settled_by_the_other(tmp_path, kind):
    """Its open calls are ``missing`` and count at their bound; its slice comes back."""

    async def case(where):
        more = "budgets: [{name: t, tokens: 100000}]"
        async with several([Drawn()]) as (port,), gateways(tmp_path, port, more, where[:1]) as (one,):
            two = await start(tmp_path, port, more, *where[1])
            done = await asyncio.gather(*(two.post(ask(f"{i}", 50)) for i in range(10)))
            open_calls = [asyncio.create_task(two.post(ask("forever", 70))) for _ in range(7)]
            await asyncio.sleep(0.5)
            await two.kill()
            lost = await asyncio.gather(*open_calls)
            for _ in range(100):
                if len(list((tmp_path / "journals").glob("*.journal"))) == 1:
                    break
                await asyncio.sleep(0.1)
            after, _, _ = await one.post(ask("after", 50))
        return [d[0] for d in done], [status for status, _, _ in lost], after

    with places(kind, tmp_path) as where:
        done, lost, after = asyncio.run(case(where))
        spent, leased, _ = booked(where)
        rows = []
        for place in dict.fromkeys(ledger for ledger, _ in where):
            with Ledger.open(place, read_only=True) as ledger:
                rows += ledger.usage_table().to_pylist()
    assert (set(done), set(lost), after) == ({200}, {0}, 200)
    missing = [row for row in rows if row["usage_status"] == "missing"]
    assert [row["failed"] for row in missing] == [True] * 7
    assert len(rows) == len({row["id"] for row in rows}) == 10 + 7 + 1
    bound = len(json.dumps(ask("forever", 70))) + 64 + 70
    known = sum(row[name] or 0 for row in rows for name in BUCKETS)
    assert spent == leased == {"t||total": known + 7 * bound}


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_five_hundred_callers_at_two_gateways(tmp_path, kind, record_property):
    statuses, share = exhausted(tmp_path, kind, 500, 200, 3_000_000, 100)
    record_property(
        "figure", f"{len(statuses)} calls, {statuses.count(429)} refused, {share:.4%} of the budget used, 0 over"
    )
    assert share > 0.95
