"""Exactly once, for ever; conflicts, corrections, refusals; sums in step."""

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ledger_samples import HOUR, T0, cost, outcome, reversal, usage

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.ledger import Ledger
from tokenworks.ledger.clock import Clock


def sums(ledger) -> dict:
    rows = ledger.query("SELECT * FROM usage_sums").to_pylist()
    return {(row["tenant"], row["root_run"], row["model"], row["hour"]): row for row in rows}


def truth(ledger) -> dict:
    """Sums from the rows themselves, in plain Python."""
    found: dict = {}
    for row in ledger.usage_table().to_pylist():
        cell = (row["tenant"], row["root_run"], row["model"], row["time_us"] // HOUR)
        into = found.setdefault(cell, dict.fromkeys(("events", *BUCKETS, "energy_uj", "cost_micro_usd"), 0))
        into["events"] += row["sign"]
        for name in (*BUCKETS, "energy_uj", "cost_micro_usd"):
            into[name] += row["sign"] * (row[name] or 0)
    return found


def test_every_event_is_stored_once_and_comes_back_as_it_was(opened):
    with opened() as ledger:
        receipts = ledger.append([usage(1), cost(2), outcome(3)])
        assert [receipt.status for receipt in receipts] == ["stored"] * 3
        assert [receipt.seq for receipt in receipts] == [1, 2, 3]
        assert [receipt.status for receipt in ledger.append([usage(1), cost(2), outcome(3)])] == ["duplicate"] * 3
    with opened() as ledger:
        again = ledger.append([usage(1), usage(4)])
        assert [(receipt.status, receipt.seq) for receipt in again] == [("duplicate", 1), ("stored", 4)]
        rows = ledger.usage_table().to_pylist()
        assert [(row["id"], row["input_fresh"]) for row in rows] == [("call-1", 101), ("call-4", 104)]
        assert ledger.cost_table().to_pylist()[0]["amount_micro"] == 5_000
        assert ledger.outcome_table().to_pylist()[0]["value_micro"] == 990_000


def test_the_same_key_with_another_payload_is_a_conflict_of_that_event_alone(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
        receipts = ledger.append([usage(0), usage(1, input_fresh=5), usage(2)])
        assert [receipt.status for receipt in receipts] == ["stored", "conflict", "stored"]
        assert "another payload at 1" in receipts[1].note
        assert ledger.usage_table()["input_fresh"].to_pylist() == [101, 100, 102]


def test_one_batch_may_hold_the_same_event_twice(opened):
    with opened() as ledger:
        receipts = ledger.append([usage(1), usage(1), usage(1, cache_read=7)])
        assert [(receipt.status, receipt.seq) for receipt in receipts] == [
            ("stored", 1), ("duplicate", 1), ("conflict", 1),
        ]  # fmt: skip
        assert sum(row["events"] for row in sums(ledger).values()) == 1


def test_ids_that_look_alike_are_not_the_same(opened):
    plain = "0190b2b0-7c1e-7abc-8def-0123456789ab"
    ids = [
        plain,
        plain.upper(),
        plain.replace("-", ""),
        f"{plain} ",
        "\xff" * 8,
        "0190b2b0 7c1e 7abc 8def 0123456789ab",
    ]
    with opened() as ledger:
        events = [usage(1, id=name) for name in ids] + [usage(1, id=plain, source="other")]
        assert {receipt.status for receipt in ledger.append(events)} == {"stored"}
        assert ledger.usage_table()["id"].to_pylist() == [*ids, plain]


def test_a_reversal_takes_back_what_it_names_once(opened):
    wrong = usage(1, input_fresh=9999)
    with opened() as ledger:
        ledger.append([wrong, usage(2)])
        receipts = ledger.append([reversal(10, wrong), usage(11), reversal(12, wrong), reversal(10, wrong)])
        assert [receipt.status for receipt in receipts] == ["stored", "stored", "refused", "duplicate"]
        assert "was reversed at 3" in receipts[2].note
        row = ledger.usage_table().to_pylist()[2]
        assert (row["sign"], row["id"], row["time_us"], row["input_fresh"]) == (-1, wrong.id, T0 + 10, 9999)
        total = ledger.query("SELECT sum(sign * input_fresh) AS tokens, sum(sign) AS events FROM usage").to_pylist()[0]
        assert (int(total["tokens"]), int(total["events"])) == (102 + 111, 2)


def test_an_unknown_event_or_a_reversal_cannot_be_reversed(opened):
    with opened() as ledger:
        ledger.append([usage(1)])
        back = reversal(2, usage(1))
        receipts = ledger.append([reversal(3, usage(77)), back, reversal(4, back)])
        assert [receipt.status for receipt in receipts] == ["refused", "stored", "refused"]
        assert "no event" in receipts[0].note
        assert "itself a reversal" in receipts[2].note
        assert [receipt.status for receipt in ledger.append([usage(77), reversal(3, usage(77))])] == [
            "stored",
            "stored",
        ]


def test_a_reversal_lands_in_its_own_hour_of_the_sums(opened):
    """The roll-up adds up by the time of the row, so a closed hour never changes."""
    with opened() as ledger:
        ledger.append([usage(1), reversal(2, usage(1), time_us=T0 + HOUR)])
        by_hour = {cell[3]: row["events"] for cell, row in sums(ledger).items()}
        assert by_hour == {T0 // HOUR: 1, T0 // HOUR + 1: -1}


def test_unknown_is_not_zero(opened):
    with opened() as ledger:
        ledger.append(
            [usage(1, cache_read=None, energy_uj=None), usage(2, cost_micro_usd=None), usage(3, cache_write=None)]
        )
        row = next(iter(sums(ledger).values()))
        assert (row["unmeasured"], row["unpowered"], row["uncosted"]) == (2, 1, 1)
        rows = ledger.usage_table().to_pylist()
        assert [row["cache_read"] for row in rows] == [None, 1000, 1000]
        assert [row["cache_write"] for row in rows] == [0, 0, None]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input_fresh": -1}, "input_fresh"), ({"cache_read": 2**63}, "cache_read"), ({"time_us": 2**70}, "time_us"),
        ({"step": 2**31}, "step"), ({"tenant": ""}, "tenant"), ({"id": "x" * 513}, "id"), ({"model": 3}, "model"),
        ({"usage_source": "guess"}, "usage_source"), ({"run": "a\0b"}, "NUL"), ({"input_fresh": 1.5}, "input_fresh"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_the_rest_is_stored(opened, fields, said):
    with opened() as ledger:
        receipts = ledger.append([usage(1), usage(2, **fields), usage(3)])
        assert [receipt.status for receipt in receipts] == ["stored", "refused", "stored"]
        assert said in receipts[1].note
        assert ledger.usage_table().num_rows == 2


def test_an_event_whose_sum_would_overflow_is_refused_alone(opened):
    most = 2**63 - 1
    with opened() as ledger:
        assert ledger.append([usage(1, input_fresh=most)])[0].status == "stored"
        receipts = ledger.append([usage(2), usage(3, root_run="r2"), usage(4, root_run="r2")])
        assert [receipt.status for receipt in receipts] == ["refused", "stored", "stored"]
        assert "int64" in receipts[0].note
        assert ledger.verify().sound


def test_events_ahead_of_the_clock_are_marked_then_refused(opened):
    clock = Clock(flag_s=60, limit_s=3600, now_us=lambda: T0)
    with opened(clock=clock) as ledger:
        times = (T0, T0 + 61_000_000, T0 + 3_601_000_000)
        receipts = ledger.append([usage(n, time_us=time_us) for n, time_us in enumerate(times)])
        assert [receipt.status for receipt in receipts] == ["stored", "stored", "refused"]
        assert receipts[1].note == "ahead of the clock by 61 s"
        assert ledger.marks() == [(2, "ahead", None, 1)]


def test_a_second_writer_of_a_file_is_refused_by_name(tmp_path):
    import os

    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.append([usage(1)])
        with pytest.raises(InputError, match=f"process {os.getpid()} is writing it"):
            Ledger.open(tmp_path / "l.db")
        with Ledger.open(tmp_path / "l.db", read_only=True) as reader:
            assert reader.usage_table().num_rows == 1
    Ledger.open(tmp_path / "l.db").close()


def test_many_writers_share_a_server(place, opened):
    if not place.startswith("postgresql"):
        pytest.skip("an SQLite ledger has one writer")
    with opened() as one, opened() as other:
        for number in range(0, 20, 2):
            one.append([usage(number, source="one"), usage(number)])
            other.append([usage(number + 1, source="other"), usage(number)])
        assert one.usage_table().num_rows == 30
        assert other.verify().sound


numbers = st.one_of(st.none(), st.integers(0, 10**9))
events = st.builds(
    usage,
    st.integers(0, 15),
    tenant=st.sampled_from(["acme", "ünï \"q\" '"]),
    root_run=st.sampled_from(["", "r1", "r2"]),
    time_us=st.integers(T0, T0 + 3 * HOUR),
    input_fresh=numbers, cache_write=numbers, output_reasoning=numbers, energy_uj=numbers, cost_micro_usd=numbers,
    step=st.integers(0, 5), failed=st.booleans(), final=st.booleans(),
    tags=st.dictionaries(st.sampled_from(["b", "a", "é\"\\"]), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4)),
    raw=st.sampled_from(["", '{"cache_write":null}', '"cache_write":null']),
)  # fmt: skip


@settings(
    max_examples=8,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(events, max_size=8), max_size=4), st.integers(0, 3))
def test_against_a_dictionary(tmp_path_factory, batches, sealed_after):
    """Independent reference: a dictionary of what each key should hold. Rows, sums and chain must agree with it."""
    held: dict = {}
    with Ledger.open(tmp_path_factory.mktemp("l") / "l.db") as ledger:
        for number, batch in enumerate(batches):
            for event, receipt in zip(batch, ledger.append(batch), strict=True):
                first = held.setdefault((event.source, event.id), (event, receipt.seq))
                expected = "stored" if first[1] == receipt.seq and first[0] is event else None
                assert receipt.status == (expected or ("duplicate" if first[0] == event else "conflict"))
            if number == sealed_after:
                ledger.seal()
        rows = ledger.usage_table().to_pylist()
        assert len(rows) == len(held)
        for row, (event, seq) in zip(rows, held.values(), strict=True):
            whole = msgspec.structs.asdict(event)
            tags = msgspec.json.decode(row.pop("tags") or "{}")
            assert list(tags.items()) == sorted(event.tags.items())
            assert row == {**{name: whole[name] for name in row if name not in ("seq", "sign")}, "seq": seq, "sign": 1}
        found = sums(ledger)
        assert {cell: {name: found[cell][name] for name in row} for cell, row in truth(ledger).items()} == truth(ledger)
        assert set(found) == set(truth(ledger))
        assert ledger.verify().sound
