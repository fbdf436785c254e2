"""A PostgreSQL server that goes away and comes back: nothing that was acknowledged is lost, nothing is stored twice, and later
commits work."""

import asyncio
from contextlib import contextmanager

import pytest
from ledger_samples import usage
from postgres import NO_SERVER, SERVER

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger import GroupCommit, Ledger, postgres_store


@pytest.fixture
def ledger(place, tmp_path):
    if not place.startswith("postgresql:"):
        pytest.skip("a file does not go away")
    with Ledger.open(place, segments=tmp_path / "segments") as ledger:
        yield ledger


def cut(ledger):
    import psycopg

    with psycopg.connect(SERVER, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (ledger.store._base.info.backend_pid,))


def test_there_is_a_reason_for_what_is_skipped(server):
    if server is None:
        pytest.skip(NO_SERVER)


def test_a_connection_that_was_cut_is_opened_again(ledger):
    async def main():
        async with GroupCommit(ledger) as group:
            first = await group.submit(usage(1))
            cut(ledger)
            return first, await group.submit(usage(2)), await group.submit(usage(1))

    receipts = asyncio.run(main())
    assert [r.status for r in receipts] == ["stored", "stored", "duplicate"]
    cut(ledger)
    with pytest.raises(OutputError, match="terminating connection"):  # that nobody noticed yet: a query is not repeated
        ledger.usage_table()
    assert ledger.usage_table().num_rows == 2
    assert ledger.verify().sound


@pytest.mark.parametrize("stored", [True, False])
def test_a_commit_whose_answer_was_lost_is_neither_lost_nor_doubled(ledger, stored):
    """The server stored it, or it did not: the group is handed in again, and met where it was stored."""
    import psycopg

    ledger.append([usage(0)])
    base = ledger.store._base
    whole = base.transaction

    @contextmanager
    def loses():
        with whole():
            yield
            if not stored:
                base.close()
        base.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    base.transaction = loses
    receipts = ledger.append([usage(n) for n in range(1, 400)])
    assert {r.status for r in receipts} == {"duplicate" if stored else "stored"}
    assert [r.seq for r in receipts] == list(range(2, 401))
    assert (ledger.usage_table().num_rows, ledger.verify().sound) == (400, True)


def test_while_no_server_answers_it_is_said_and_afterwards_all_is_well(ledger, monkeypatch):
    import psycopg

    def refused():
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr(postgres_store, "PATIENCE_S", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(ledger.store, "_connect", refused)
        ledger.store._base.close()
        for _ in range(2):
            with pytest.raises(OutputError, match="connection refused; whether this group was stored is not known"):
                ledger.append([usage(1)])
    assert [r.status for r in ledger.append([usage(1), usage(2)])] == ["stored", "stored"]
    assert ledger.verify().sound


def test_no_statement_of_a_broken_transaction_runs_outside_of_it(ledger):
    with pytest.raises(OutputError, match="not known"), ledger.writing():
        ledger.link("note", 1, b"lost", "")
        ledger.store._base.close()
        ledger.store.rows("SELECT 1")
    assert list(ledger.batches()) == []


def test_a_wrong_address_is_still_said_at_once():
    with pytest.raises(InputError, match="no server answers there"):
        Ledger.open("postgresql://postgres@127.0.0.1:1/test")
