"""Single rows of bulk segments are taken back one by one: sums, chain, closed months and invoices hold."""

import sqlite3
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import HOUR, T0, reversal, usage

from tokenworks.events.ledger_events import Reversal
from tokenworks.ledger import Ledger
from tokenworks.pricing.measure import Tables, measure
from tokenworks.pricing.periods import month

KEY = "twin/f/1/ab"


def columns(rows: int = 6, **other) -> dict:
    known = {
        "time_us": T0 + HOUR * np.arange(rows), "tenant": "acme", "root_run": np.array([f"r{n % 2}" for n in range(rows)]),
        "model": "llama", "input_fresh": 10 ** np.arange(rows), "cache_read": np.full(rows, 7),
        "output_visible": np.ones(rows, int), "output_reasoning": None, "energy_uj": np.arange(rows), "tags": '{"team":"x"}',
    }  # fmt: skip
    return {**known, **other}


def back(number: int, row: object, at: int = T0 + 9 * HOUR, key: str = KEY) -> Reversal:
    return Reversal(
        source="gw", id=f"back-{number}", time_us=at, tenant="acme", of_source=key, of_id=str(row), reason="outage"
    )


def sums(ledger: Ledger) -> tuple[dict, dict]:
    """The same sums, from rows and from roll-ups."""
    names = ("input_fresh", "cache_read", "output_visible", "energy_uj")
    of_rows = ", ".join(f"sum(sign * {name})::BIGINT AS {name}" for name in names)
    of_cells = ", ".join(f"sum({name})::BIGINT AS {name}" for name in names)
    (rows,) = ledger.query(f"SELECT sum(sign)::BIGINT AS events, {of_rows} FROM usage").to_pylist()
    (cells,) = ledger.query(f"SELECT sum(events)::BIGINT AS events, {of_cells} FROM usage_sums").to_pylist()
    return rows, cells


def test_a_row_is_taken_back_and_everything_else_stays(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
        ledger.append_segment(KEY, columns())
        (receipt,) = ledger.append([back(1, 3)])
        assert (receipt.status, receipt.seq) == ("stored", 8)
        table = ledger.usage_table()
        assert table["sign"].to_pylist() == [1] * 7 + [-1]
        original, taken = table.slice(4, 1).to_pylist()[0], table.slice(7, 1).to_pylist()[0]
        assert taken | {"seq": 5, "sign": 1, "time_us": original["time_us"]} == original
        assert taken["time_us"] == T0 + 9 * HOUR  # when it was taken back, not when it was used
        rows, cells = sums(ledger)
        assert rows == cells
        assert rows == {
            "events": 6,
            "input_fresh": 101 + 110_111,
            "cache_read": 1035,
            "output_visible": 15,
            "energy_uj": 19,
        }
        assert ledger.verify().sound
        ledger.seal()
        assert ledger.usage_table() == table
        assert sums(ledger) == (rows, rows)
        assert ledger.verify().sound
    with opened() as ledger:
        assert sums(ledger) == (rows, rows)


def test_once_and_by_its_own_name_only(opened):
    with opened() as ledger:
        ledger.append_segment(KEY, columns())
        ledger.append_segment("twins", columns(id=np.array(["a", "a", "b", "c", "d", "e"])))
        asked = [back(1, 3), back(1, 3), back(2, 3), back(3, 6), back(4, "a", key="twins"), back(5, "b", key="twins"),
                 back(6, KEY, key="tokenworks:segments"), back(7, "x", key="nobody"), reversal(8, back(1, 3))]  # fmt: skip
        receipts = ledger.append(asked)
        assert [r.status for r in receipts] == [
            "stored", "duplicate", "refused", "refused", "refused", "stored", "refused", "refused", "refused",
        ]  # fmt: skip
        said = [r.note for r in receipts]
        assert "was reversed at 13" in said[2]
        assert "has no row '6'; its ids begin with '0' and end with '5'" in said[3]
        assert "2 rows of the segment 'twins' have the id 'a'" in said[4]
        assert "not reversed as a whole" in said[6]
        assert "no event 'nobody' 'x'" in said[7]
        assert "itself a reversal" in said[8]
        ledger.seal()
        assert ledger.append([back(9, 3)])[0].status == "refused"
        assert ledger.verify().sound


def test_unknown_numbers_stay_unknown(opened):
    with opened() as ledger:
        ledger.append_segment(KEY, columns(energy_uj=None))
        ledger.append([back(1, 0)])
        assert ledger.usage_table()["energy_uj"].to_pylist() == [None] * 7
        assert ledger.usage_table()["output_reasoning"].to_pylist() == [None] * 7
        found = ledger.query(
            "SELECT sum(unpowered)::INT AS u, sum(unmeasured)::INT AS m, sum(events)::INT AS n FROM usage_sums"
        )
        assert found.to_pylist() == [{"u": 5, "m": 5, "n": 5}]


def test_tags_that_are_no_object_are_refused_not_lost(opened):
    with opened() as ledger:
        ledger.append_segment(KEY, columns(tags="team=x"))
        (receipt,) = ledger.append([back(1, 0)])
        assert receipt.status == "refused"
        assert "no JSON object" in receipt.note


def test_a_closed_month_is_corrected_in_the_next_one(opened):
    """The row was in June; June is closed. Taken back in July it changes June's sums for what comes after the closing only,
    as a reversal of any event does."""
    with opened() as ledger:
        ledger.append_segment(KEY, columns())
        june = ledger.close_period(*(getattr(month("2025-06"), name) for name in ("start_us", "end_us")))
        late, open_ = back(1, 5), back(2, 4, month("2025-07").start_us)
        receipts = ledger.append([late, open_])
        assert [r.status for r in receipts] == ["stored", "stored"]
        assert receipts[0].note.startswith("late:")
        assert receipts[1].note == ""
        assert [mark[1:] for mark in ledger.marks()] == [("late", 1, 1)]
        tables = Tables(ledger.usage_table())
        closed = measure(tables, month("2025-06"), (0,), last_seq=june.last_seq)["acme"].tokens
        after = measure(tables, month("2025-06"), (0,))["acme"].tokens
        assert sum(row.counts[0] for row in closed) == 111_111
        assert sum(row.counts[0] for row in after) == 1_111
        assert "acme" not in measure(tables, month("2025-07"), (0,))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3)), min_size=1, max_size=40), st.data())
def test_what_is_left_is_what_was_not_taken_back(tmp_path_factory, rows, data):
    """Against a plain sum in Python, by hour of the row or of the reversal and by run."""
    chosen = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    tokens, hours = (np.array(column) for column in zip(*rows, strict=True))
    made = columns(len(rows), input_fresh=tokens, time_us=T0 + HOUR * hours, energy_uj=None)
    expected = Counter()
    for number, (count, hour) in enumerate(rows):
        expected[f"r{number % 2}", (T0 + HOUR * hour) // HOUR] += count
        if number in chosen:
            expected[f"r{number % 2}", (T0 + 9 * HOUR) // HOUR] -= count
    with Ledger.open(tmp_path_factory.mktemp("l") / "l.db") as ledger:
        ledger.append_segment(KEY, made)
        assert {r.status for r in ledger.append([back(n, n) for n in sorted(chosen)])} <= {"stored"}
        found = ledger.query("SELECT root_run, hour, input_fresh FROM usage_sums").to_pylist()
        assert {(f["root_run"], f["hour"]): f["input_fresh"] for f in found if f["input_fresh"]} == {
            key: value for key, value in expected.items() if value
        }
        assert ledger.verify().sound


@pytest.mark.parametrize("forged", [b"10000", b"1001"])
def test_a_changed_copy_is_named(tmp_path, forged):
    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.append_segment(KEY, columns())
        ledger.append([back(1, 3), back(2, 4)])
    base = sqlite3.connect(tmp_path / "l.db")
    ((copy,),) = base.execute("SELECT copy FROM reversals WHERE seq = 7").fetchall()
    base.execute("UPDATE reversals SET copy = ? WHERE seq = 7", (copy.replace(b"1000,", forged + b","),))
    base.commit()
    base.close()
    with Ledger.open(tmp_path / "l.db", read_only=True) as ledger:
        found = ledger.verify()
    assert (found.sound, found.batch, found.seq) == (False, 2, 7)
    assert "what event 7 of batch 2 takes back was changed" in found.reason
