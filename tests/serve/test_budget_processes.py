"""Budgets of several gateway processes on one port: one budget for all of them, whoever dies."""

import asyncio
import json
import time
from contextlib import contextmanager

import pytest
from budget_books import BUCKETS, Drawn, ask, booked, schema
from budget_gateway import PLAN
from live_gateway import Engine, run
from live_processes import Traffic, processes, require_booked

from tokenworks.ledger import Ledger

SETTLED_S = 2.0  # docs/limits.md: until what a killed process left open is settled
KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@contextmanager
def ledger_of(kind, tmp_path):
    """(ledger, store of budgets) as `tokenworks serve` chooses them."""
    if kind == "sqlite":
        yield str(tmp_path / "ledger.db"), str(tmp_path / "ledger.db.budgets")
        return
    with schema() as url:
        yield url, url


def budgets(*rows):
    bounds = "bounds: [{service: chat, template_tokens: 64, context_tokens: 4096}]"
    return f", {bounds}, budgets: [{', '.join(rows)}]"


def rows_of(ledger):
    with Ledger.open(ledger, read_only=True) as opened:
        return opened.usage_table().to_pylist()


async def until_refused(gate, callers, calls):
    """Statuses of callers who ask again and again, each until it is refused twice in a row."""
    statuses = []

    async def caller(number):
        refused = 0
        for i in range(calls):
            status, _, _ = await gate.post(ask(f"{number} {i}", 200 + number % 300))
            statuses.append(status)
            refused = refused + 1 if status == 429 else 0
            if refused > 1:
                return

    await asyncio.gather(*(caller(n) for n in range(callers)))
    return statuses


@pytest.mark.parametrize(
    ("kind", "tokens", "usd"),
    [
        ("sqlite", 60_000, 10),
        ("postgresql", 10**7, "0.5"),
        pytest.param("sqlite", 10**7, "0.5", marks=pytest.mark.prove),
        pytest.param("postgresql", 60_000, 10, marks=pytest.mark.prove),
    ],
)
def test_processes_never_exceed_a_budget_together_and_refunds_settle_exactly(tmp_path, kind, tokens, usd):
    (tmp_path / "plan.yaml").write_text(PLAN)
    serve = budgets(f"{{name: t, tokens: {tokens}}}", f"{{name: d, usd: {usd}}}") + ", price_plan: plan.yaml"

    async def case(ledger):
        async with processes(tmp_path, Drawn(), ledger=ledger, serve=serve) as gate:
            statuses = await until_refused(gate, 40, 20)
            return statuses, await gate.stop()

    with ledger_of(kind, tmp_path) as place:
        statuses, code = run(case(place[0]))
        spent, leased, (inputs, outputs) = booked([place])
        sources = {row["source"] for row in rows_of(place[0])}
    pico = 3_000_000 * inputs + 15_000_000 * outputs
    assert code == 0
    assert len(sources) == 2, "one process answered them all"
    assert set(statuses) == {200, 429}
    assert spent == {"t||total": inputs + outputs, "d||total": pico}  # to the token, and to 10⁻¹² dollars
    assert leased == spent  # all that was not used has come back
    share = max((inputs + outputs) / tokens, pico / (float(usd) * 10**12))
    assert 0.9 < share <= 1


@KINDS
def test_a_killed_process_leaves_nothing_open_and_its_successor_shares_the_budget(tmp_path, kind):
    """Its open calls are ``missing`` and count at their bound; its slice comes back."""

    async def case(ledger):
        serve = budgets("{name: t, tokens: 100000}")
        async with processes(tmp_path, Drawn(), ledger=ledger, serve=serve) as gate:
            done = await asyncio.gather(*(gate.post(ask(f"{i}", 50)) for i in range(10)))
            calls = [asyncio.create_task(gate.post(ask("forever", 70))) for _ in range(16)]
            await asyncio.sleep(0.5)
            gate.kill("gateway-0")
            killed_s = time.monotonic()
            gone, _ = await asyncio.wait(calls, timeout=0.3)
            while missing(ledger) < len(gone):
                await asyncio.sleep(0.02)
            took_s = time.monotonic() - killed_s
            lost = {call.result()[0] for call in gone}
            after = [(await gate.post(ask("after", 50)))[0] for _ in range(12)]
            gate.process.terminate()  # the other process's callers wait for an engine that never answers
            await gate.process.wait()
            return [d[0] for d in done], len(gone), lost, took_s, after

    with ledger_of(kind, tmp_path) as place:
        done, gone, lost, took_s, after = run(case(place[0]))
        spent, leased, _ = booked([place])
        rows = rows_of(place[0])
    assert (set(done), lost, set(after)) == ({200}, {0}, {200})
    assert 0 < gone < 16, "the kernel gave one process all of them"
    assert took_s <= SETTLED_S
    unknown = [row for row in rows if row["usage_status"] == "missing"]
    assert [row["failed"] for row in unknown] == [True] * 16  # at the end those that the drain cut off, too
    assert len(rows) == len({row["id"] for row in rows}) == 10 + 16 + 12
    bound = len(json.dumps(ask("forever", 70))) + 64 + 70
    assert spent == leased == {"t||total": sum(row[name] or 0 for row in rows for name in BUCKETS) + 16 * bound}


def missing(ledger):
    return sum(row["usage_status"] == "missing" for row in rows_of(ledger))


def test_processes_that_write_to_postgresql_themselves_lose_and_double_nothing(tmp_path):
    async def case(ledger):
        async with processes(tmp_path, Engine(), ledger=ledger) as gate:
            assert gate.pids("ledger") == []
            traffic = Traffic(gate)
            asking = asyncio.get_running_loop().create_task(traffic.run(12))
            for name in ("gateway-0", "gateway-1"):
                await asyncio.sleep(0.3)
                await gate.kill_and_wait(name)
            before = len(traffic.finished)
            while len(traffic.finished) < before + 50:
                await asyncio.sleep(0.02)
            traffic.end()
            await asking
            assert await gate.stop() == 0
            return traffic

    with schema() as url:
        traffic = run(case(url))
        assert traffic.wrong == []
        assert require_booked(tmp_path, traffic.finished, url) >= len(traffic.finished)
        assert len({row["source"] for row in rows_of(url)}) == 4
