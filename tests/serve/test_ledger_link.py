"""Events on their way to the ledger process and back: durable when acknowledged, once whatever happens in between."""

import asyncio
import os
from contextlib import asynccontextmanager

import pytest
from ledger_samples import usage
from live_gateway import run

from tokenworks.errors import OutputError
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.processes.doors import meeting_place
from tokenworks.serve.processes.frames import MOST_BYTES, Frames, framed
from tokenworks.serve.processes.ledger_door import LedgerDoor, keep_ledger
from tokenworks.serve.processes.ledger_link import AT_ONCE, LedgerLink


@asynccontextmanager
async def door(tmp_path, ledger):
    """(the way in, who keeps it): both ends in one loop."""
    meet = meeting_place(tmp_path / "door")
    async with GroupCommit(ledger) as group:
        keeper = LedgerDoor(group)
        server = await keeper.listen(meet)
        yield keeper
        server.close()
        for gateway in list(keeper.gateways):
            gateway.frames.transport.close()


def test_what_is_acknowledged_is_stored_and_like_what_was_sent(tmp_path):
    async def case(ledger):
        async with door(tmp_path, ledger), LedgerLink(tmp_path / "door") as link:
            receipts = await asyncio.gather(*(link.submit(usage(n)) for n in range(600)))
            return receipts, ledger.append([usage(n) for n in range(600)])

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        receipts, again = run(case(ledger))
        assert [r.status for r in receipts] == ["stored"] * 600
        assert [r.seq for r in receipts] == [r.seq for r in again]
        assert {r.status for r in again} == {"duplicate"}  # the same payload, to the byte
        assert ledger.verify().sound


def cut(keeper):
    """Every connection that is there; one that is just being made is not."""
    for gateway in list(keeper.gateways):
        if hasattr(gateway.frames, "transport"):
            gateway.frames.transport.abort()


def test_a_probe_finds_out_whether_a_ledger_process_is_there(tmp_path):
    async def case(ledger):
        async with LedgerLink(tmp_path / "door") as link:
            with pytest.raises(OutputError, match="no ledger process answers"):
                await link.probe()
            async with door(tmp_path, ledger):
                await link.submit(usage(1))
                await link.probe()

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        run(case(ledger))


def test_what_was_not_acknowledged_is_sent_again_and_stored_once(tmp_path):
    """Connections are cut while events are on their way, before and after they were stored."""

    async def case(ledger):
        async with door(tmp_path, ledger) as keeper, LedgerLink(tmp_path / "door") as link:
            futures = []
            for n in range(3 * AT_ONCE):
                futures.append(link.submit(usage(n)))
                if n % 97 == 0:
                    await asyncio.sleep(0.003)
                    cut(keeper)
            receipts = await asyncio.gather(*futures)
            for n in range(1000):  # until one was stored and cut off before it was acknowledged
                if any(r.status == "duplicate" for r in receipts):
                    break
                last = link.submit(usage(len(receipts)))
                await asyncio.sleep(n % 20 * 0.0002)
                cut(keeper)
                receipts.append(await last)
            return receipts

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        receipts = run(case(ledger))
        assert {r.status for r in receipts} <= {"stored", "duplicate"}
        assert "duplicate" in {r.status for r in receipts}, "no connection was cut after its events were stored"
        assert sorted(r.seq for r in receipts) == list(range(1, len(receipts) + 1))


def test_the_door_may_open_later_and_patience_ends(tmp_path):
    async def case(ledger):
        async with LedgerLink(tmp_path / "door", patience_s=0.2) as link:
            lost = link.submit(usage(1))
            with pytest.raises(OutputError, match="did not answer for"):
                await lost
        async with LedgerLink(tmp_path / "door") as link:
            late = link.submit(usage(2))
            await asyncio.sleep(0.1)
            async with door(tmp_path, ledger):
                return await late

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert run(case(ledger)).status == "stored"


def test_what_is_no_event_is_refused_with_the_reason(tmp_path):
    async def case(ledger):
        from msgspec.structs import replace

        async with door(tmp_path, ledger), LedgerLink(tmp_path / "door") as link:
            return await asyncio.gather(link.submit(replace(usage(1), input_fresh=-5)), link.submit(usage(2)))

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        refused, stored = run(case(ledger))
    assert (refused.status, stored.status) == ("refused", "stored")
    assert "input_fresh" in refused.note


def test_a_disk_that_refuses_ends_the_process_after_saying_so(tmp_path, monkeypatch):
    async def case(ledger):
        keeping = asyncio.ensure_future(keep_ledger(ledger, meeting_place(tmp_path / "door"), asyncio.Event(), 5.0))
        async with LedgerLink(tmp_path / "door") as link:
            assert (await link.submit(usage(1))).durable
            monkeypatch.setattr(os, "fdatasync", refuse)
            with pytest.raises(OutputError, match="failed to sync"):
                await link.submit(usage(2))
            return await keeping

    def refuse(_file):
        raise OSError(5, "no disk")

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert "failed to sync" in run(case(ledger))


@pytest.mark.parametrize("noise", [framed([("x", "y")]), (MOST_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\2\xc1\xc1"])
def test_noise_ends_its_connection_and_no_other(tmp_path, noise):
    async def case(ledger):
        async with door(tmp_path, ledger), LedgerLink(tmp_path / "door") as link:
            reader, writer = await asyncio.open_unix_connection(tmp_path / "door")
            writer.write(noise)
            try:
                came = await reader.read()
            except ConnectionError:
                came = b""
            writer.close()
            return came, await link.submit(usage(1))

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        came, receipt = run(case(ledger))
    assert (came, receipt.status) == (b"", "stored")


def test_messages_come_whole_however_they_are_cut():
    heard = []
    frames = Frames(heard.append, lambda _: None)
    data = framed(["a" * 10]) + framed([]) + framed(["b" * 300])
    for size in (1, 3, 7, len(data)):
        for start in range(0, len(data), size):
            frames.data_received(data[start : start + size])
    assert len(heard) == 12
    assert heard[:3] == heard[9:]
