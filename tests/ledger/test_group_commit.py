"""Many producers, each with its own answer; the disk's refusals reach them."""

import asyncio
import resource

import pytest
from ledger_samples import usage

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger import GroupCommit, Ledger


def test_each_producer_hears_of_its_own_event(opened):
    async def main(ledger):
        async with GroupCommit(ledger) as group:
            first = await asyncio.gather(*(group.submit(usage(n)) for n in range(200)))
            mixed = await asyncio.gather(
                group.submit(usage(5)), group.submit(usage(6, run="x")), group.submit(usage(900))
            )
            with pytest.raises(InputError, match="input_fresh"):
                await group.submit(usage(1, input_fresh=-1))
        return first, mixed

    with opened() as ledger:
        first, mixed = asyncio.run(main(ledger))
        assert {receipt.status for receipt in first} == {"stored"}
        assert sorted(receipt.seq for receipt in first) == list(range(1, 201))
        assert [receipt.status for receipt in mixed] == ["duplicate", "conflict", "stored"]
        assert mixed[0].seq == first[5].seq
        assert ledger.verify().sound


def test_nothing_is_acknowledged_before_it_is_synced(tmp_path):
    """With a disk that cannot sync, all producers hear so, and the ledger takes nothing more."""

    async def main(ledger):
        async with GroupCommit(ledger) as group:
            return await asyncio.gather(*(group.submit(usage(n)) for n in range(3)), return_exceptions=True)

    def no_sync():
        raise OutputError("the disk failed to sync")

    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.store.sync = no_sync
        answers = asyncio.run(main(ledger))
        assert [type(answer) for answer in answers] == [OutputError] * 3


def test_a_failed_sync_closes_the_ledger(tmp_path, monkeypatch):
    import os

    def broken(_):
        raise OSError(5, "Input/output error")

    with Ledger.open(tmp_path / "l.db") as ledger:
        monkeypatch.setattr(os, "fdatasync", broken)
        with pytest.raises(OutputError, match="failed to sync"):
            ledger.append([usage(1)])
        monkeypatch.undo()
        with pytest.raises(OutputError, match="open it again"):
            ledger.append([usage(2)])


def test_a_full_disk_stores_nothing_of_the_group_and_is_survived(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.append([usage(n) for n in range(10)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limit[1]))
        try:
            with pytest.raises(OutputError, match=r"l\.db.*nothing of this group was stored"):
                ledger.append([usage(n, raw="x" * 1000) for n in range(10, 1000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        receipts = ledger.append([usage(n) for n in range(9, 12)])
        assert [receipt.status for receipt in receipts] == ["duplicate", "stored", "stored"]
        assert ledger.verify().events == 12
