"""A ledger in PostgreSQL whose connection is cut, or whose server is away for a while: nothing is lost or stored twice."""

import asyncio
from contextlib import suppress

import pytest
from ledger_samples import usage
from postgres import SERVER

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger import GroupCommit, postgres_connection
from tokenworks.ledger.prepare import prepare

pytestmark = pytest.mark.parametrize("place", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A server that is away is not waited for here."""
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 0.0)


NOWHERE = "postgresql://postgres@127.0.0.1:1/test"


def server():
    import psycopg

    return psycopg.connect(SERVER, autocommit=True)


def cut(ledger):
    """As a restart of the server, or an administrator, does."""
    end(ledger.store.rows("SELECT pg_backend_pid()")[0][0])


def end(backend):
    with server() as base:
        assert base.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,)).fetchone() == (True,)


class CutAtCommit:
    """In place of a connection: the server gets the COMMIT, or does not, and the answer never comes."""

    def __init__(self, ledger, arrives):
        self.real, self.arrives = ledger.store._connection.base, arrives
        ledger.store._connection.base = self

    def __getattr__(self, name):
        return getattr(self.real, name)

    def execute(self, sql, *values):
        if sql != "COMMIT":
            return self.real.execute(sql, *values)
        if self.arrives:
            self.real.execute(sql)
        end(self.real.info.backend_pid)
        return self.real.execute("SELECT 1")


def away(ledger, monkeypatch):
    monkeypatch.setattr(ledger.store._connection, "_url", NOWHERE)


def statuses(receipts):
    return [receipt.status for receipt in receipts]


def require_whole(ledger, count):
    verdict = ledger.verify()
    assert (verdict.sound, verdict.events) == (True, count)
    assert len(set(ledger.usage_table()["id"].to_pylist())) == count


def test_an_idle_connection_that_is_cut_is_replaced_with_all_its_settings(opened):
    with opened() as ledger:
        settings = "SELECT current_setting('search_path'), current_setting('synchronous_commit')"
        before = ledger.store.rows(settings)
        ledger.append([usage(1)])
        cut(ledger)
        assert [(r.status, r.seq) for r in ledger.append([usage(2), usage(3)])] == [("stored", 2), ("stored", 3)]
        cut(ledger)
        assert statuses(ledger.append([usage(3), usage(4)])) == ["duplicate", "stored"]
        assert ledger.store.rows(settings) == before
        require_whole(ledger, 4)


def test_one_that_is_cut_in_a_transaction_stores_all_of_it_on_the_next_and_goes_on_from_what_others_stored(opened):
    with opened() as ledger, opened() as other:
        ledger.append([usage(1)])
        parts = [[prepare(usage(2))], [prepare(usage(3, source="new"))]]

        def more():
            if len(parts) == 1:
                cut(ledger)
                other.append([usage(10, source="other")])
            return parts.pop(0) if parts else ()

        receipts = ledger.commit_from(more)
        assert [(r.status, r.seq) for r in receipts] == [("stored", 3), ("stored", 4)]
        require_whole(other, 4)


@pytest.mark.parametrize(("arrives", "told"), [(True, "duplicate"), (False, "stored")])
def test_a_commit_whose_answer_is_lost_is_stored_once_and_told_as_durable(opened, arrives, told):
    with opened() as ledger:
        ledger.append([usage(1)])
        CutAtCommit(ledger, arrives)
        assert [(r.status, r.seq) for r in ledger.append([usage(2), usage(3)])] == [(told, 2), (told, 3)]
        require_whole(ledger, 3)


@pytest.mark.parametrize("arrives", [True, False])
def test_where_no_second_try_can_be_made_the_doubt_is_told_and_a_repetition_finds_out(opened, monkeypatch, arrives):
    with opened() as ledger:
        CutAtCommit(ledger, arrives)
        with monkeypatch.context() as patch:
            away(ledger, patch)
            with pytest.raises(
                OutputError, match=r"connection was lost .* whether this transaction was stored is not known"
            ):
                ledger.append([usage(1)])
            with pytest.raises(OutputError, match=r"no server answers.*nothing of this group was stored"):
                ledger.append([usage(2)])
        assert statuses(ledger.append([usage(1), usage(2)])) == ["duplicate" if arrives else "stored", "stored"]
        require_whole(ledger, 2)


def test_what_is_no_group_of_events_is_told_as_in_doubt_and_never_done_twice(opened):
    with opened() as ledger:
        CutAtCommit(ledger, arrives=True)
        with pytest.raises(OutputError, match="not known"):
            ledger.close_period(0, 1)
        assert [period.period for period in ledger.periods()] == [1]
        with pytest.raises(InputError, match="overlaps"):
            ledger.close_period(0, 1)
        cut(ledger)
        assert ledger.close_period(1, 2).period == 2
        require_whole(ledger, 0)


def test_while_the_server_is_away_each_call_says_so_and_later_ones_work_again(opened, monkeypatch):
    with opened() as ledger:
        ledger.append([usage(1)])
        cut(ledger)
        with monkeypatch.context() as patch:
            away(ledger, patch)
            for call in (lambda: ledger.append([usage(2)]), ledger.periods, ledger.usage_table, ledger.probe):
                with pytest.raises(OutputError, match="connection was lost, and no server answers"):
                    call()
        ledger.probe()
        assert statuses(ledger.append([usage(2)])) == ["stored"]
        require_whole(ledger, 2)


def test_whoever_reads_gets_a_new_connection_too(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
    with opened(read_only=True) as ledger:
        for call in (ledger.head, ledger.verify, ledger.usage_table):
            before = call()
            cut(ledger)
            assert call() == before


def test_one_that_is_cut_between_two_readings_of_a_snapshot_is_told(opened):
    """The second would see another state."""
    with opened() as ledger:
        with pytest.raises(OutputError, match="connection was lost"), ledger.snapshot():
            cut(ledger)
            ledger.head()
        assert ledger.head() is None


def test_a_ledger_that_has_vanished_meanwhile_does_not_begin_again_by_itself(place, opened):
    schema = place.partition("schema=")[2]
    with opened() as ledger:
        ledger.append([usage(1)])
        cut(ledger)
        with server() as base:
            base.execute(f'DROP SCHEMA "{schema}" CASCADE')
        for _ in range(2):
            with pytest.raises(InputError, match="there is no ledger in schema"):
                ledger.append([usage(2)])


def test_a_closed_ledger_opens_no_connection(opened):
    with opened() as ledger:
        pass
    with pytest.raises(OutputError, match="closed"):
        ledger.append([usage(1)])


def test_a_transaction_that_the_server_rolls_back_is_never_told_as_stored(opened):
    with opened() as ledger:
        with pytest.raises(OutputError, match="rolled back"), ledger.store.writing(), suppress(Exception):
            ledger.store.run("SELECT nonsense")
        assert statuses(ledger.append([usage(1)])) == ["stored"]


def test_producers_whose_connection_is_cut_again_and_again_hear_of_their_events(place, opened, monkeypatch):
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 10.0)  # one that is just being opened may be cut, too
    name = place.partition("schema=")[2]

    def cut_writer(watcher):
        """Wherever it is just then: waiting for an event or for the lock, inserting, committing."""
        for (backend,) in watcher.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (name,)):
            watcher.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))

    async def main(ledger, watcher):
        async with GroupCommit(ledger) as group:
            asked = []
            for number in range(400):
                asked.append(group.submit(usage(number)))
                if number % 50 == 25:
                    await asyncio.sleep(number * 0.00001)
                    await asyncio.to_thread(cut_writer, watcher)
                    await asked[-1]  # a second cut in one group is told
            return await asyncio.gather(*asked)

    with opened() as ledger, server() as watcher:
        ledger.store._connection._url += f"?application_name={name}"
        cut(ledger)
        receipts = asyncio.run(main(ledger, watcher))
        assert sorted(receipt.seq for receipt in receipts) == list(range(1, 401))
        assert all(receipt.durable for receipt in receipts)
        require_whole(ledger, 400)
