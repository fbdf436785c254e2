"""Usage events of a run: one of each kind by hand, names, overrides, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, TIMED_OUT, Departed, RequestLog
from tokenworks.workload.generate import requests

KEY = RunKey("run/7", ("chat",), ("llama",), ("acme",), start_us=1_000_000, first_seq=40)


def left(*rows: tuple[int, ...]) -> Departed:
    """Rows: arrival, first token, finish (ticks), status, produced, cached."""
    arrival, first, finish, status, produced, cached = (np.array(x) for x in zip(*rows, strict=True))
    zeros = np.zeros(len(rows), np.int32)
    log = RequestLog(arrival, first, finish, status.astype(np.int8), produced, cached, zeros, zeros)
    return Departed(np.arange(len(rows)), log, None, 5_000_000)


def load_of(count: int):
    made = requests(np.zeros(count), np.full(count, 10), np.full(count, 5))
    return replace(made, tenant=np.zeros(count, np.int32))


def rows():
    return left(
        (0, 300_000, 2_000_000, FINISHED, 5, 4), (0, 300_000, -1, IN_SYSTEM, 2, 0), (0, -1, -1, IN_SYSTEM, 0, 0),
        (100_000, -1, 900_000, TIMED_OUT, 0, 0),
    )  # fmt: skip


def test_each_end_by_hand():
    table = usage_table(KEY, load_of(5), rows())
    assert {n: str(t) for n, t in zip(table.schema.names, table.schema.types, strict=True)} == {**USAGE_COLUMNS}
    names = (
        "id", "time_us", "input_fresh", "cache_read", "output_visible", "usage_status", "final", "failed", "ttft_us",
        "duration_us",
    )  # fmt: skip
    assert list(zip(*(table[n].to_pylist() for n in names), strict=True)) == [
        ("0", 1_000_020, 6, 4, 5, "final", True, False, 3, 20),
        ("1", 1_000_050, 10, 0, 2, "partial", False, False, 3, None),
        ("2", 1_000_050, None, None, 0, "partial", False, False, None, None),
        ("3", 1_000_009, 0, 0, 0, "final", False, True, None, 8),
    ]  # fmt: skip
    assert table["seq"].to_pylist() == [40, 41, 42, 43]
    assert set(table["source"].to_pylist()) == {"run/7"}
    assert set(table["tenant"].to_pylist()) == {"acme"}
    assert table["energy_uj"].null_count == table["cost_micro_usd"].null_count == 4


def test_runs_and_steps_of_agents_replace_columns():
    columns = {"run": np.array(list("abcd")), "step": np.arange(4)}
    table = usage_table(KEY, load_of(5), rows(), columns)
    assert (table["run"].to_pylist(), table["step"].to_pylist()) == (list("abcd"), [0, 1, 2, 3])


def test_events_follow_in_the_order_in_which_requests_left():
    some = rows()
    back = replace(some, number=np.array([4, 0, 3, 1]))
    load = replace(load_of(5), input_tokens=np.array([10, 20, 30, 40, 50]))
    table = usage_table(KEY, load, back)
    assert table["id"].to_pylist() == ["4", "0", "3", "1"]
    assert table["input_fresh"].to_pylist() == [46, 10, None, 0]


@pytest.mark.parametrize(
    ("key", "columns", "says"),
    [
        (RunKey("r", (), ()), {}, "service number 0"),
        (RunKey("r", ("a",), ()), {}, "1 services but 0 models"),
        (RunKey("r", ("a",), ("m",), ("t",)), {"wrong": np.arange(4)}, "no column 'wrong'"),
    ],
)
def test_what_does_not_fit_is_refused(key, columns, says):
    with pytest.raises(InputError, match=says):
        usage_table(key, load_of(5), rows(), columns)
