"""Requests of many threads share transactions; each hears of its own events; an older ledger is named."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_samples import usage

from tokenworks.cli.main import main
from tokenworks.errors import InputError, OutputError
from tokenworks.ledger import Ledger
from tokenworks.ledger.shared_commit import SharedCommit


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def test_requests_that_wait_for_one_writer_become_one_transaction(opened):
    with opened() as ledger, SharedCommit(ledger) as shared, ThreadPoolExecutor(20) as threads:
        with ledger.snapshot():  # nobody writes meanwhile
            asked = [threads.submit(shared.append, [usage(2 * n), usage(2 * n + 1)]) for n in range(20)]
            wait_for(lambda: shared.waiting == 40)
            assert not any(one.done() for one in asked)
        answers = [one.result() for one in asked]
        assert [[receipt.status for receipt in answer] for answer in answers] == [["stored"] * 2] * 20
        assert [batch.kind for batch in ledger.batches()] == ["events"]
        found = ledger.query("SELECT seq, id FROM usage").to_pylist()
        at = {row["id"]: row["seq"] for row in found}
        told = {f"call-{2 * n + k}": answers[n][k].seq for n in range(20) for k in (0, 1)}
        assert told == at


def test_each_request_hears_of_its_own_events(opened):
    with opened() as ledger, SharedCommit(ledger) as shared:
        assert shared.append([]) == []
        shared.append([usage(1)])
        answer = shared.append([usage(1), usage(2, input_fresh=-1), usage(1, run="x"), usage(3)])
        assert [receipt.status for receipt in answer] == ["duplicate", "refused", "conflict", "stored"]
        assert "input_fresh" in answer[1].note
        assert ledger.verify().events == 2


def test_a_disk_that_cannot_sync_reaches_all_requests(tmp_path):
    def no_sync():
        raise OutputError("the disk failed to sync")

    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.store.sync = no_sync
        with SharedCommit(ledger) as shared, ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(shared.append, [usage(n), usage(n + 100)]) for n in range(4)]
            for one in asked:
                with pytest.raises(OutputError, match="failed to sync"):
                    one.result()


def test_what_is_under_way_is_answered_and_what_comes_later_is_told(opened):
    with opened() as ledger, ThreadPoolExecutor(8) as threads:
        shared = SharedCommit(ledger)
        with shared:
            asked = [threads.submit(shared.append, [usage(n)]) for n in range(8)]
            wait_for(lambda: sum(one.done() for one in asked) > 0)
        for number, one in enumerate(asked):
            try:
                assert one.result()[0].durable
            except OutputError:  # it came after the door was shut
                assert ledger.append([usage(number)])[0].status == "stored"
        with pytest.raises(OutputError, match="being closed"):
            shared.append([usage(9)])
        assert ledger.verify().events == 8


@pytest.mark.parametrize("read_only", [False, True])
def test_a_ledger_of_another_version_is_named_and_left_alone(place, opened, read_only):
    with opened() as ledger:
        ledger.append([usage(1)])
        with ledger.writing():
            ledger.store.run("UPDATE meta SET value = '1' WHERE name = 'version'")
    with pytest.raises(InputError, match=r"holds version 1; this program reads version 2.*ledger export"):
        opened(read_only=read_only)
    if not place.startswith("postgresql"):
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(place)) as base:
            assert base.execute("SELECT count(*) FROM events").fetchone() == (1,)
            assert base.execute("SELECT value FROM meta WHERE name = 'version'").fetchone() == ("1",)


def test_the_verb_says_so_and_fails_with_2(tmp_path, capsys):
    place = tmp_path / "l.db"
    with Ledger.open(place) as ledger, ledger.writing():
        ledger.store.run("UPDATE meta SET value = '1' WHERE name = 'version'")
    assert main(["ledger", "verify", "--ledger", str(place)]) == 2
    assert "holds version 1; this program reads version 2" in capsys.readouterr().err
