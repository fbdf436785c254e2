"""Runs in bulk, on both databases: segments and single events together, once, all or none."""

import numpy as np
import pyarrow as pa
import pytest
from ledger_samples import T0, cost, usage

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger import Ledger, bulk

KEY = "twin/f/1/ab"


def tables(rows: int, step: int = 3):
    """A run's usage in segments of ``step`` rows; row i has i fresh tokens."""
    for start in range(0, rows, step):
        numbers = np.arange(start, min(start + step, rows))
        yield pa.table({
            "id": [str(n) for n in numbers], "time_us": T0 + numbers, "tenant": ["acme"] * len(numbers), "model": ["m"] * len(numbers),
            "root_run": ["r"] * len(numbers), "input_fresh": numbers, "cache_read": numbers * 0, "output_visible": numbers * 0,
        })  # fmt: skip


def state(ledger: Ledger) -> dict:
    """All that a run could change."""
    (rows,) = ledger.query("SELECT count(*)::BIGINT, coalesce(sum(input_fresh), 0)::BIGINT FROM usage").to_pylist()
    (cells,) = ledger.query(
        "SELECT coalesce(sum(events), 0)::BIGINT, coalesce(sum(input_fresh), 0)::BIGINT FROM usage_sums"
    ).to_pylist()
    (costs,) = ledger.query("SELECT coalesce(sum(events), 0)::BIGINT AS n FROM cost_sums").to_pylist()
    assert list(rows.values()) == list(cells.values())
    assert costs["n"] == len(ledger.cost_table())
    assert ledger.verify().sound
    head = ledger.head()
    names = sorted(path.name for path in ledger.segments.glob("*")) if ledger.segments.exists() else []
    return {"rows": rows, "costs": costs["n"], "head": head and head.link, "files": names}


def test_a_run_with_its_single_events_is_stored_once(opened):
    with opened() as ledger:
        ledger.append([usage(1), cost(900)])  # sums that wait must survive
        receipt = ledger.append_run(KEY, tables(8), [cost(1), cost(2)])
        assert (receipt.status, receipt.seq, receipt.last_seq) == ("stored", 5, 12)
        before = state(ledger)
        assert list(before["rows"].values()) == [9, sum(range(8)) + usage(1).input_fresh]
        assert before["costs"] == 3
        again = ledger.append_run(KEY, tables(8), [cost(1), cost(2)])
        assert (again.status, again.seq, again.last_seq) == ("duplicate", 5, 12)
        assert state(ledger) == before
        ledger.append([usage(2), cost(901)])
    with opened() as ledger:
        after = state(ledger)
        assert (next(iter(after["rows"].values())), after["costs"]) == (10, 4)
        assert ledger.append_run(KEY, tables(8), [cost(1), cost(2)]).status == "duplicate"


@pytest.mark.parametrize(
    ("made", "singles", "said"),
    [
        (lambda: tables(8), [1, 3], "but not the rest"),  # another tool
        (lambda: tables(9), [1, 2], "with other events"),  # one row more
        (lambda: (t.set_column(2, "tenant", [["b"] * len(t)]) for t in tables(8)), [1, 2], "holds another segment"),
        (lambda: tables(6), [1, 2], "with other events"),  # shorter
        (lambda: tables(8, step=2), [1, 2], "with other events"),  # cut otherwise
    ],
)
def test_another_run_of_this_name_is_a_conflict(opened, made, singles, said):
    with opened() as ledger:
        ledger.append_run(KEY, tables(8), [cost(1), cost(2)])
        before = state(ledger)
        receipt = ledger.append_run(KEY, made(), map(cost, singles))
        assert receipt.status == "conflict"
        assert said in receipt.note
        assert state(ledger) == before


def test_a_run_is_not_made_longer(opened):
    """Six rows are two whole segments; nine begin with the same two."""
    with opened() as ledger:
        ledger.append_run(KEY, tables(6))
        before = state(ledger)
        receipt = ledger.append_run(KEY, tables(9))
        assert (receipt.status, receipt.seq) == ("conflict", 1)
        assert "but not the rest" in receipt.note
        assert state(ledger) == before


def test_nothing_stays_of_a_run_that_is_refused(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
        before = state(ledger)
        late = cost(1, time_us=T0 + 10**16)
        assert ledger.append_run(KEY, tables(8), [cost(2), late]).status == "refused"
        assert state(ledger) == before
        with pytest.raises(InputError):
            ledger.append_run(KEY, tables(8), [cost(1, quantity_micro=-1)])
        assert ledger.append_run(KEY, tables(0), [cost(2)]).status == "refused"
        assert state(ledger) == before
        ledger.append([cost(3, source="app")])
        changed = ledger.append_run(KEY, tables(8), [cost(2), cost(3, source="app", quantity_micro=5)])
        assert changed.status == "conflict"
        assert state(ledger)["costs"] == 1


def test_nothing_stays_of_a_run_that_fails(opened, monkeypatch):
    write, written = bulk.write_parquet, []

    def full(folder, name, *rest, **options):
        written.append(name)
        if len(written) > 3:
            raise OutputError("No space left on device")
        return write(folder, name, *rest, **options)

    with opened() as ledger:
        ledger.append([usage(1)])
        before = state(ledger)
        monkeypatch.setattr(bulk, "write_parquet", full)
        with pytest.raises(OutputError):
            ledger.append_run(KEY, tables(8), [cost(1)])
        assert state(ledger) == before
        monkeypatch.setattr(bulk, "write_parquet", write)
        assert ledger.append_run(KEY, tables(8), [cost(1)]).status == "stored"
        assert state(ledger)["costs"] == 1


def test_sums_of_huge_single_events(opened):
    """They end the waiting of sums, and sums that leave int64 refuse the run."""
    with opened() as ledger:
        ledger.append([usage(1), cost(900)])
        assert ledger.append_run(KEY, tables(8), [cost(1, quantity_micro=2**62)]).status == "stored"
        before = state(ledger)
        assert (next(iter(before["rows"].values())), before["costs"]) == (9, 2)
        receipt = ledger.append_run(f"{KEY}2", tables(8), [cost(2, quantity_micro=2**62)])
        assert receipt.status == "refused"
        assert "leaves int64" in receipt.note
        assert state(ledger) == before
