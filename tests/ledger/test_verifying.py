"""Tampering of every kind is found and named."""

import sqlite3

import numpy as np
import pyarrow.parquet as pq
import pytest
from ledger_samples import HOUR, T0, reversal, usage

from tokenworks.ledger import Ledger


def filled(folder) -> None:
    with Ledger.open(folder / "l.db") as ledger:
        for start in (0, 3, 6):
            ledger.append([usage(start + place) for place in range(3)])
        ledger.append([reversal(20, usage(4)), usage(21)])
        ledger.close_period(T0, T0 + HOUR)


def verdict(folder):
    with Ledger.open(folder / "l.db") as ledger:
        return ledger.verify()


def test_what_was_not_touched_is_sound(tmp_path):
    filled(tmp_path)
    found = verdict(tmp_path)
    assert (found.sound, found.batches, found.events) == (True, 5, 11)


@pytest.mark.parametrize(
    ("sql", "batch", "seq", "said"),
    [
        ("UPDATE events SET payload = replace(payload, '105', '104') WHERE seq = 6", 2, 6, "not what was stored"),
        ("UPDATE events SET payload = x'7b7d' WHERE seq = 6", 2, 6, "not what was stored"),
        ("DELETE FROM events WHERE seq = 5", 2, 5, "missing"),
        ("DELETE FROM events WHERE seq = 6", 2, 6, "missing"),
        ("UPDATE events SET seq = 60 WHERE seq = 9", 3, 9, "missing"),
        ("INSERT INTO events VALUES (50, x'7b7d')", 5, 50, "in no batch"),
        ("UPDATE reversals SET copy = replace(copy, '104', '103')", 4, 10, "takes back"),
        ("DELETE FROM batches WHERE batch = 3", 3, None, "batch 3 is missing"),
        ("UPDATE batches SET last_seq = last_seq + 1 WHERE batch = 2", 2, None, "link"),
        ("UPDATE batches SET link = zeroblob(32) WHERE batch = 1", 1, None, "link"),
        ("UPDATE periods SET to_us = to_us + 1", 5, None, "period"),
        ("DELETE FROM keys WHERE seq = 2", 5, None, "10 keys for 11 events"),
    ],
)
def test_tampering_is_named(tmp_path, sql, batch, seq, said):
    filled(tmp_path)
    base = sqlite3.connect(tmp_path / "l.db")
    sql = sql.replace("replace(payload,", "CAST(replace(CAST(payload AS TEXT),").replace("'104')", "'104') AS BLOB)")
    sql = sql.replace("replace(copy,", "CAST(replace(CAST(copy AS TEXT),").replace("'103')", "'103') AS BLOB)")
    base.execute(sql)
    base.commit()
    base.close()
    found = verdict(tmp_path)
    assert (found.sound, found.batch, found.seq) == (False, batch, seq)
    assert said in found.reason


def test_an_attacker_who_mends_the_payload_hash_still_breaks_the_chain(tmp_path):
    """Even with the key's hash mended, the batch's link covers the old one."""
    filled(tmp_path)
    from hashlib import sha256

    base = sqlite3.connect(tmp_path / "l.db")
    forged = base.execute("SELECT payload FROM events WHERE seq = 2").fetchone()[0].replace(b"101", b"100")
    base.execute("UPDATE events SET payload = ? WHERE seq = 2", (forged,))
    base.execute("UPDATE keys SET sha256 = ? WHERE seq = 2", (sha256(forged).digest()[:16],))
    base.commit()
    base.close()
    found = verdict(tmp_path)
    assert (found.sound, found.batch) == (False, 1)


def test_sealed_segments_are_verified_too(tmp_path):
    filled(tmp_path)
    with Ledger.open(tmp_path / "l.db") as ledger:
        assert ledger.seal() == 11
        assert ledger.verify().sound
    journal = next((tmp_path / "l.db.segments").glob("*-journal.parquet"))
    table = pq.read_table(journal)
    changed = table.set_column(1, "payload", [[text.replace("105", "104") for text in table["payload"].to_pylist()]])
    pq.write_table(changed, journal)
    found = verdict(tmp_path)
    assert (found.sound, found.batch, found.seq) == (False, 2, 6)
    next((tmp_path / "l.db.segments").glob("*-usage.parquet")).unlink()
    pq.write_table(table, journal)
    assert "missing" in verdict(tmp_path).reason or "changed" in verdict(tmp_path).reason


def with_segments(folder) -> None:
    """Links 1 to 4: single events, a bulk segment, a seal, single events. Link 5 closes a period."""
    with Ledger.open(folder / "l.db") as ledger:
        ledger.append([usage(1), usage(2)])
        one = {"tenant": "acme", "model": "m", "input_fresh": 5, "cache_read": 0, "output_visible": 1}
        ledger.append_segment("run/1", {**one, "time_us": np.arange(3) + T0})
        assert ledger.seal() == 2
        ledger.append([usage(3)])
        ledger.close_period(T0, T0 + HOUR)


@pytest.mark.parametrize(
    ("statements", "batch", "said"),
    [
        (
            ["DELETE FROM segments WHERE kind = 'bulk'", "DELETE FROM keys WHERE seq = 3"],
            2,
            "has 0 rows in the table of segments",
        ),
        (["UPDATE segments SET to_us = from_us WHERE kind = 'bulk'"], 2, "was changed"),
        (["UPDATE segments SET to_us = 1, from_us = 0 WHERE kind = 'seal'"], 3, "was changed"),
        (["UPDATE segments SET files = replace(files, '\"usage\"', '\"none\"') WHERE kind = 'bulk'"], 2, "was changed"),
        (["UPDATE segments SET last_seq = last_seq - 1 WHERE kind = 'seal'"], 3, "was changed"),
        (["UPDATE keys SET id = x'00' WHERE seq = 3"], 2, "the key 'run/1'"),
        (["UPDATE sources SET bulk = 0 WHERE source = 'run/1'"], 2, "the source 'run/1'"),
        (
            [
                "INSERT INTO segments SELECT 9, kind, 90, 93, from_us, to_us, 9, files FROM segments WHERE kind = 'bulk'",
                "INSERT INTO keys SELECT source, x'00', 90, sha256 FROM keys WHERE seq = 3",
            ],
            5,
            "3 rows in the table of segments, but 2 links",
        ),
        (["INSERT INTO periods VALUES (2, '', 0, 1, 6, 4)"], 5, "2 rows in the table of periods, but 1 links"),
    ],
)
def test_tampering_with_what_readers_go_by_is_named(tmp_path, statements, batch, said):
    with_segments(tmp_path)
    found = verdict(tmp_path)
    assert (found.sound, found.batches, found.events) == (True, 5, 6)
    base = sqlite3.connect(tmp_path / "l.db")
    for statement in statements:
        assert base.execute(statement).rowcount == 1
    base.commit()
    base.close()
    found = verdict(tmp_path)
    assert (found.sound, found.batch) == (False, batch)
    assert said in found.reason
