"""Roll-ups are right at every moment: while they wait, after a crash, near int64, in bulk."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from ledger_samples import HOUR, T0, cost, reversal, usage

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.ledger import Ledger, rollups
from tokenworks.ledger.bulk_columns import bulk_table
from tokenworks.ledger.bulk_sums import segment_sums
from tokenworks.ledger.tail import rolled, tail_pairs

ASKED = "SELECT tenant, root_run, model, hour, events, input_fresh, energy_uj, unpowered FROM usage_sums ORDER BY ALL"


def expected(ledger) -> list[dict]:
    """The same from the rows themselves."""
    return ledger.query(
        f"SELECT tenant, root_run, model, time_us // {HOUR} AS hour, sum(sign)::BIGINT AS events,"
        " sum(sign * input_fresh)::BIGINT AS input_fresh, sum(sign * coalesce(energy_uj, 0))::BIGINT AS energy_uj,"
        " sum(sign * (energy_uj IS NULL)::INT)::BIGINT AS unpowered FROM usage GROUP BY ALL ORDER BY ALL"
    ).to_pylist()


def fill(ledger) -> None:
    ledger.append([usage(n, root_run=f"r{n % 3}", energy_uj=None if n % 2 else 7) for n in range(20)])
    ledger.append([cost(1), cost(2), reversal(30, usage(4), time_us=T0 + 2 * HOUR), usage(21)])


def crashed(ledger_path, folder):
    """What a crash leaves: the files as they are while the writer is still at it."""
    folder.mkdir()
    for file in ledger_path.parent.glob("l.db*"):
        shutil.copy(file, folder / file.name)
    return folder / "l.db"


@pytest.mark.parametrize("at_once", [1, 5, 4096])
def test_they_agree_with_the_rows_while_they_wait_and_after_a_crash(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(rollups, "EVENTS_AT_ONCE", at_once)
    with Ledger.open(tmp_path / "l.db") as ledger:
        fill(ledger)
        whole = expected(ledger)
        assert sum(row["events"] for row in whole) == 20
        assert ledger.query(ASKED).to_pylist() == whole
        assert bool(tail_pairs(ledger.store)) == (at_once > 1)
        with Ledger.open(tmp_path / "l.db", read_only=True) as reader:
            assert reader.query(ASKED).to_pylist() == whole
        with Ledger.open(crashed(tmp_path / "l.db", tmp_path / "copy")) as again:
            assert not tail_pairs(again.store)
            assert again.query(ASKED).to_pylist() == whole
            again.append([usage(50)])
            assert again.query(ASKED).to_pylist() == expected(again)
    with Ledger.open(tmp_path / "l.db", read_only=True) as closed:
        assert rolled(closed.store) == 24
        assert closed.query(ASKED).to_pylist() == whole


def test_a_group_that_fails_adds_nothing(tmp_path, monkeypatch):
    with Ledger.open(tmp_path / "l.db") as ledger:
        fill(ledger)
        ledger.append([usage(60), usage(3)])  # the quick way fails on the second and is undone
        with monkeypatch.context() as patch:
            patch.setattr(ledger.store, "insert", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                ledger.append([usage(70)])
        ledger.close_period(T0 - HOUR, T0)
        assert not tail_pairs(ledger.store)
        assert ledger.query(ASKED).to_pylist() == expected(ledger)


def test_a_large_number_ends_the_waiting_for_good(tmp_path):
    """A sum near int64 must refuse the event that would leave it, not a later group."""
    with Ledger.open(tmp_path / "l.db") as ledger:
        fill(ledger)
        ledger.append([usage(80, input_fresh=2**62)])
        assert rolled(ledger.store) is None
        assert ledger.query(ASKED).to_pylist() == expected(ledger)
    with Ledger.open(tmp_path / "l.db") as ledger:
        receipts = ledger.append([usage(n, input_fresh=2**62) for n in (81, 82)])
        assert [receipt.status for receipt in receipts] == ["refused", "refused"]
        ledger.append([usage(83)])
        assert ledger.query(ASKED).to_pylist() == expected(ledger)


def test_a_ledger_whose_newest_events_were_tampered_with_takes_no_more(tmp_path):
    with Ledger.open(tmp_path / "l.db") as ledger:
        fill(ledger)
        ledger.store.run("UPDATE events SET payload = x'7b7d' WHERE seq = 6")
        broken = crashed(tmp_path / "l.db", tmp_path / "copy")
        with pytest.raises(InputError, match="event 6 is not what was stored"):
            Ledger.open(broken)
        with Ledger.open(broken, read_only=True) as reader:
            assert reader.verify().seq == 6


@pytest.mark.parametrize("most", [1000, 2**40])
def test_a_segment_adds_up_as_plain_python_does(most):
    dice, rows = np.random.default_rng(3), 500
    words = pa.DictionaryArray.from_arrays(pa.array(dice.integers(0, 4, rows, np.int8)), pa.array(["a", "b", "a", "c"]))
    numbers = {name: dice.integers(0, most, rows) for name in (*BUCKETS, "energy_uj")}
    numbers["cache_read"] = pa.array(numbers["cache_read"], mask=dice.random(rows) < 0.2)
    costs = dice.integers(-most, most, rows)
    table = bulk_table({
        "time_us": dice.choice([T0, T0 + 5 * HOUR, 10**18], rows), "tenant": words, "model": "m",
        "root_run": [f"r{n}" for n in dice.integers(0, 3, rows)], "cost_micro_usd": costs, **numbers,
    })  # fmt: skip
    found: dict = {}
    for row in table.to_pylist():
        into = found.setdefault((row["tenant"], row["root_run"], "m", row["time_us"] // HOUR), [0] * 12)
        values = [row[name] for name in (*BUCKETS, "energy_uj", "cost_micro_usd")]
        adding = [1, *(value or 0 for value in values), int(None in values[:6]), 0, 0]
        into[:] = [one + other for one, other in zip(into, adding, strict=True)]
    made = segment_sums(table)
    assert {tuple(row[:4]): row[4:] for row in map(list, zip(*made.to_pydict().values(), strict=True))} == found
