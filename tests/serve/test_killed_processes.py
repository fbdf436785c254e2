"""kill −9 of gateways and of the ledger process under load: nothing acknowledged is lost or doubled, nothing looks finished
that is not."""

import asyncio
import random

import pytest
from live_gateway import Engine, run
from live_processes import Traffic, processes, require_booked


async def killed(folder, kills, callers, seed):
    """Kills what is named, one after the other, each once the one before it is there again."""
    dice = random.Random(seed)
    async with processes(folder, Engine()) as gate:
        traffic = Traffic(gate)
        asking = asyncio.get_running_loop().create_task(traffic.run(callers))
        for name in kills:
            await asyncio.sleep(dice.uniform(0.1, 0.4))
            await gate.kill_and_wait(name)
        before = len(traffic.finished)
        while len(traffic.finished) < before + 100:  # it goes on
            await asyncio.sleep(0.02)
        traffic.end()
        await asking
        assert await gate.stop() == 0
    return traffic


def test_gateways_and_the_ledger_are_killed_under_load(tmp_path):
    traffic = run(killed(tmp_path, ["gateway-0", "ledger", "gateway-1"], 24, seed=1))
    assert traffic.wrong == []
    assert traffic.closed  # the callers of killed gateways saw it
    assert require_booked(tmp_path, traffic.finished) >= len(traffic.finished)
    assert (tmp_path / "err.txt").read_text().count("ended with -9 and is started again") == 3


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_fifty_gateways_and_ten_ledgers_killed(tmp_path, record_property):
    kills = [f"gateway-{n % 2}" if n % 6 else "ledger" for n in range(1, 61)]
    traffic = asyncio.run(killed(tmp_path, kills, 48, seed=2))
    assert traffic.wrong == []
    stored = require_booked(tmp_path, traffic.finished)
    record_property(
        "figure",
        f"{len(traffic.finished):,} whole answers, {traffic.closed} closed, {stored:,} events, 0 lost, 0 doubled",
    )
