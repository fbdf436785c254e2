"""Sealed segments: nothing changes for those who read; keys survive; bulk segments are exactly once, too."""

import numpy as np
import pyarrow as pa
import pytest
from ledger_samples import HOUR, T0, cost, outcome, reversal, usage

from tokenworks.errors import InputError
from tokenworks.ledger import sealing


def test_reading_is_the_same_before_and_after_sealing(opened):
    with opened() as ledger:
        ledger.append([usage(1, tags={"b": "2", "a": "1"}), cost(2, amount_micro=None), outcome(3)])
        ledger.append([reversal(4, usage(1)), usage(5, cache_write=None, raw='"cache_write":null')])
        before = (ledger.usage_table(), ledger.cost_table(), ledger.outcome_table())
        assert ledger.seal() == 5
        assert (ledger.usage_table(), ledger.cost_table(), ledger.outcome_table()) == before
        assert ledger.store.rows("SELECT count(*) FROM events") == [(0,)]
        assert before[0]["tags"].to_pylist() == ['{"a":"1","b":"2"}'] * 2 + [""]
        assert before[0]["sign"].to_pylist() == [1, -1, 1]


def test_keys_and_reversals_reach_into_sealed_segments(opened):
    with opened() as ledger:
        ledger.append([usage(1), usage(2)])
        ledger.seal()
        receipts = ledger.append([usage(1), usage(2, input_fresh=1), reversal(3, usage(2)), reversal(4, usage(2))])
        assert [receipt.status for receipt in receipts] == ["duplicate", "conflict", "stored", "refused"]
        assert ledger.seal() == 1
        assert ledger.query("SELECT sum(sign * input_fresh)::BIGINT AS tokens FROM usage").to_pylist() == [
            {"tokens": 101}
        ]
        assert ledger.verify().sound


def test_whole_groups_only_in_pieces_and_with_a_rest(opened, monkeypatch):
    monkeypatch.setattr(sealing, "SEGMENT_EVENTS", 4)
    with opened() as ledger:
        for start in range(0, 12, 3):
            ledger.append([usage(start + place) for place in range(3)])
        assert ledger.seal(keep=4) == 6
        assert [row[0] for row in ledger.store.rows("SELECT seq FROM events ORDER BY seq")] == [7, 8, 9, 10, 11, 12]
        assert ledger.usage_table(tenant="acme", last_seq=8)["seq"].to_pylist() == list(range(1, 9))
        assert ledger.usage_table(T0 + 3, T0 + 8)["id"].to_pylist() == [f"call-{n}" for n in range(3, 8)]


def columns(rows: int = 6, **other) -> dict:
    known = {
        "time_us": T0 + HOUR * np.arange(rows), "tenant": "acme", "root_run": np.array([f"r{n % 2}" for n in range(rows)]),
        "model": "llama", "input_fresh": np.arange(rows), "cache_read": np.full(rows, 7), "output_visible": np.ones(rows, int),
        "energy_uj": None,
    }  # fmt: skip
    return {**known, **other}


def test_a_bulk_segment_is_stored_once(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
        first = ledger.append_segment("twin:1:0-3600", columns())
        assert (first.status, first.seq, first.last_seq) == ("stored", 2, 7)
        again = ledger.append_segment("twin:1:0-3600", columns())
        assert (again.status, again.seq, again.last_seq) == ("duplicate", 2, 7)
        other = ledger.append_segment("twin:1:0-3600", columns(cache_read=np.full(6, 8)))
        assert (other.status, other.seq) == ("conflict", 2)
        ledger.append([usage(2)])
        table = ledger.usage_table()
        assert table["seq"].to_pylist() == list(range(1, 9))
        assert table["input_fresh"].to_pylist() == [101, 0, 1, 2, 3, 4, 5, 102]
        assert table["energy_uj"].to_pylist() == [7, *[None] * 6, 7]
        total = ledger.query(
            "SELECT sum(events)::INT AS n, sum(input_fresh)::INT AS t, sum(unpowered)::INT AS u FROM usage_sums"
        )
        assert total.to_pylist() == [{"n": 8, "t": 218, "u": 6}]
        ledger.seal()
        assert ledger.usage_table() == table
        assert ledger.verify().sound


def test_the_way_a_segment_is_held_in_memory_does_not_matter(opened):
    words = pa.DictionaryArray.from_arrays(pa.array([2, 1, 2, 1, 2, 1], pa.int8()), pa.array(["unused", "r1", "r0"]))
    with opened() as ledger:
        ledger.append_segment("k", columns())
        ways = [
            columns(root_run=words), pa.table(columns(tenant=["acme"] * 6, model=["llama"] * 6, energy_uj=pa.nulls(6))),
            columns(root_run=["r0", "r1"] * 3, cache_read=np.full(6, 7, np.int16), cache_write=0),
        ]  # fmt: skip
        assert [ledger.append_segment("k", way).status for way in ways] == ["duplicate"] * 3
        swapped = columns(root_run=["r1", "r0"] * 3)
        assert ledger.append_segment("k", swapped).status == "conflict"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cache_read": np.array([1, 2, 3, 4, 5, -6])}, "-6 is below 0"), ({"colour": "red"}, "no column 'colour'"),
        ({"cache_read": np.ones(5, int)}, "one length"), ({"tenant": ["a", None] * 3}, "missing"),
        ({"input_fresh": np.full(6, 0.5)}, "input_fresh"), ({"step": np.full(6, 2**40)}, "step"),
        ({"energy_uj": np.full(6, 2**62), "time_us": np.full(6, T0)}, "int64"),
    ],
)  # fmt: skip
def test_a_segment_that_does_not_fit_leaves_nothing(opened, tmp_path, wrong, said):
    with opened() as ledger:
        with pytest.raises(InputError, match=said):
            ledger.append_segment("k", {**columns(), **wrong, "root_run": "r"})
        assert ledger.head() is None
        assert not list((tmp_path / "segments").glob("*"))


def test_a_segment_without_a_needed_column_is_refused(opened):
    whole = columns()
    del whole["model"]
    with opened() as ledger, pytest.raises(InputError, match="needs the column 'model'"):
        ledger.append_segment("k", whole)


def test_sources_of_events_and_keys_of_segments_do_not_mix(opened):
    with opened() as ledger:
        ledger.append([usage(1, source="gw")])
        assert ledger.append_segment("gw", columns()).status == "refused"
        ledger.append_segment("twin", columns())
        receipts = ledger.append([usage(1, source="twin"), usage(2)])
        assert [receipt.status for receipt in receipts] == ["refused", "stored"]


def test_late_rows_of_a_segment_are_counted(opened):
    with opened() as ledger:
        ledger.close_period(T0, T0 + 2 * HOUR)
        assert "late: 2 of period 1" in ledger.append_segment("k", columns()).note
        assert ledger.marks() == [(1, "late 1", 1, 2)]


@pytest.mark.parametrize("sql", ["DELETE FROM usage", "SELECT 1; SELECT 2", "SELEC", "COPY usage TO '/tmp/x.csv'"])
def test_a_query_only_reads(opened, sql):
    with opened() as ledger, pytest.raises(InputError, match="query"):
        ledger.query(sql)


def test_a_query_reads_no_other_file(opened, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with opened() as ledger:
        ledger.append([usage(1)])
        ledger.seal()
        with pytest.raises(InputError, match="query"):
            ledger.query(f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
        assert ledger.query("SELECT count(*) AS n FROM usage").to_pylist() == [{"n": 1}]
