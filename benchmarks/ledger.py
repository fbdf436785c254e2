"""Speed of the ledger: durable single events, bulk segments, grouping.

python benchmarks/ledger.py --json                      everything at full size (50 M keys: some minutes, 7 GB of disk)
python benchmarks/ledger.py --only durable bulk         some parts: durable, keys, bulk, group, rate
python benchmarks/ledger.py --keys 1000000 --rows 1000000 --events 50000   smaller sizes
python benchmarks/ledger.py --only keys --random        UUIDv4 keys in place of UUIDv7
"""

import argparse
import asyncio
import gc
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from pathlib import Path

import msgspec
import numpy as np

from tokenworks.events.ledger_events import UsageEvent
from tokenworks.ledger import GroupCommit, Ledger

PRODUCERS = 256
CALLS_OF_A_RUN = 60
T0_US = 1_750_000_000_000_000
HOUR_US = 3_600_000_000
PARTS = ("durable", "keys", "bulk", "group", "rate")
START_MS = 1_750_000_000_000


def uuid7(at_ms: int, noise: bytes) -> str:
    raw = bytearray(at_ms.to_bytes(6, "big") + noise)
    raw[6], raw[8] = 0x70 | raw[6] & 15, 0x80 | raw[8] & 63
    return str(uuid.UUID(bytes=bytes(raw)))


def made(producer: int, count: int, random: bool) -> list[UsageEvent]:
    """What one producer sends: agents' calls one after the other, each run of 60 calls."""
    events = []
    for number in range(count):
        run = f"run-{producer}-{number // CALLS_OF_A_RUN}"
        name = str(uuid.uuid4()) if random else uuid7(START_MS + 10**9 + number * 5, os.urandom(10))
        events.append(UsageEvent(
            source="gateway-1", id=name, time_us=T0_US + number * 1_000_000, tenant=f"tenant-{producer % 16}",
            root_run=run, run=run, agent="coder", step=number % CALLS_OF_A_RUN, service="chat", provider="own",
            model="llama-3.3-70b", input_fresh=1200 + number, cache_read=33_000, output_visible=500, output_reasoning=300,
            energy_uj=1_234_567, cost_micro_usd=4_321, ttft_us=250_000, duration_us=9_000_000,
        ))  # fmt: skip
    return events


class Bare:
    """The measure: group commit of JSON with a key into one table, synchronous=FULL, and nothing else."""

    def __init__(self, path: Path):
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.execute(
            "CREATE TABLE events (source TEXT, id TEXT, payload BLOB, PRIMARY KEY (source, id)) WITHOUT ROWID"
        )
        self._waiting: list = []
        self._busy = False
        self._encode = msgspec.json.Encoder().encode

    async def __aenter__(self):
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_):
        self._base.close()

    async def submit(self, event):
        future = self._loop.create_future()
        self._waiting.append(((event.source, event.id, self._encode(event)), future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._start)
        return await future

    def _start(self):
        group, self._waiting = self._waiting, []
        done = self._loop.run_in_executor(None, self._insert, [row for row, _ in group])
        done.add_done_callback(lambda _: self._done(group))

    def _insert(self, rows):
        self._base.execute("BEGIN IMMEDIATE")
        self._base.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
        self._base.execute("COMMIT")

    def _done(self, group):
        for _, future in group:
            future.set_result(None)
        self._busy = bool(self._waiting)
        if self._busy:
            self._loop.call_soon(self._start)


async def drive(front, events: int, random: bool = False) -> tuple[float, float]:
    """Events per second and p99 of the wait for an acknowledgement, ms; 256 producers, each waiting for its own."""
    plans = [made(producer, events // PRODUCERS, random) for producer in range(PRODUCERS)]
    waits: list[float] = []

    async def produce(plan):
        for event in plan:
            start = time.perf_counter()
            await front.submit(event)
            waits.append(time.perf_counter() - start)

    gc.collect()
    gc.freeze()  # the events to come are no work of the ledger's
    async with front:
        start = time.perf_counter()
        await asyncio.gather(*map(produce, plans))
        took_s = time.perf_counter() - start
    return len(waits) / took_s, float(np.percentile(waits, 99)) * 1e3


def durable(folder: Path, args) -> dict:
    """Ledger and bare insert by turns; the best of each, for others use this machine too."""
    rates, bare = [], []
    for turn in range(args.turns):
        bare.append(asyncio.run(drive(Bare(folder / f"bare-{turn}.db"), args.events))[0])
        with Ledger.open(folder / f"ledger-{turn}.db") as ledger:
            rates.append(asyncio.run(drive(GroupCommit(ledger), args.events)))
    best = max(rates)
    return {
        "durable_events_s": round(best[0]), "bare_events_s": round(max(bare)), "durable_p99_ms": round(best[1], 1),
        "share_of_bare": round(best[0] / max(bare), 3),
    }  # fmt: skip


def fill_keys(path: Path, count: int, random: bool) -> None:
    """Keys as if ``count`` events had been stored and sealed before."""
    with Ledger.open(path) as ledger, ledger.writing():
        ledger.store.insert("sources", 3, [1, "gateway-1", 0])
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA synchronous=OFF")
    base.execute("PRAGMA cache_size=-1000000")
    base.execute("PRAGMA wal_autocheckpoint=20000")
    dice, seq, block = np.random.default_rng(1), 0, 1_000_000
    while seq < count:
        size = min(block, count - seq)
        base.execute(FILL, (key_bytes(dice, seq, size, count, random), seq, size))
        seq += size
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()


FILL = (  # 32 bytes a key: its name and its hash
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?3 - 1)"
    " INSERT INTO keys SELECT 1, substr(?1, 32 * i + 1, 16), ?2 + i, substr(?1, 32 * i + 17, 16) FROM n"
)


def key_bytes(dice, seq: int, size: int, count: int, random: bool) -> bytes:
    """Keys in order: evenly spread over all values (v4), or by time, 50 a millisecond (v7); then their hashes."""
    rows = dice.integers(0, 256, (size, 32), np.uint8)
    numbers = np.arange(seq, seq + size)
    heads = (numbers * (2**48 / count)).astype(np.int64) if random else START_MS + numbers // 50
    rows[:, :6] = heads.astype(">u8").view(np.uint8).reshape(size, 8)[:, 2:]
    return rows.tobytes()


def with_keys(folder: Path, args, random: bool) -> dict:
    """The same with many keys stored already; its own figure without them from the same minutes."""
    path = folder / ("v4.db" if random else "v7.db")
    start = time.perf_counter()
    fill_keys(path, args.keys, random)
    print(f"{args.keys:,} keys stored in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    with Ledger.open(folder / f"empty-{random}.db") as ledger:
        empty = asyncio.run(drive(GroupCommit(ledger), args.events, random))[0]
    with Ledger.open(path) as ledger:
        rate, p99 = asyncio.run(drive(GroupCommit(ledger), args.events, random))
    name = "durable_events_s_at_50m" + ("_uuid4" if random else "")
    found = {
        name: round(rate),
        "keys": args.keys,
        f"share_of_empty{'_uuid4' if random else ''}": round(rate / empty, 3),
    }
    return {**found, f"{name}_p99_ms": round(p99, 1), "file_gb": round(path.stat().st_size / 1e9, 2)}


def twin_columns(rows: int, hours: int, seed: int) -> dict:
    """What a simulated stretch hands over: 50 tenants, 20 events a run."""
    import pyarrow as pa

    dice = np.random.default_rng(seed)
    runs = max(1, rows // 20)
    run = dice.integers(0, runs, rows).astype(np.int32)
    names = pa.DictionaryArray.from_arrays(pa.array(run), pa.array([f"run-{seed}-{number}" for number in range(runs)]))
    tenants = pa.DictionaryArray.from_arrays(pa.array(run % 50), pa.array([f"tenant-{number}" for number in range(50)]))
    begin = T0_US + run.astype(np.int64) * (hours * HOUR_US // runs)
    return {
        "time_us": begin + dice.integers(0, 60_000_000, rows), "tenant": tenants, "root_run": names, "run": names,
        "model": "llama-3.3-70b", "service": "chat", "input_fresh": dice.integers(0, 4000, rows),
        "cache_read": dice.integers(0, 40_000, rows), "output_visible": dice.integers(1, 1000, rows),
        "ttft_us": dice.integers(0, 10**6, rows), "duration_us": dice.integers(0, 10**7, rows),
        "energy_uj": dice.integers(0, 10**8, rows), "cost_micro_usd": dice.integers(0, 10**5, rows),
    }  # fmt: skip


def bulk(folder: Path, args) -> dict:
    """Segments of a million events, one after the other; the tables are made before the clock starts."""
    best = 0.0
    with Ledger.open(folder / "bulk.db") as ledger:
        ledger.append_segment("warm", twin_columns(1000, 1, 0))
        size = min(args.rows, 1_000_000)
        for number in range(args.rows // size):
            columns = twin_columns(size, 24, number + 1)
            start = time.perf_counter()
            ledger.append_segment(f"twin:{number}", columns)
            best = max(best, size / (time.perf_counter() - start))
    return {"bulk_events_s": round(best)}


GROUPING = (
    f"SELECT tenant, root_run, time_us // {HOUR_US} AS hour, sum(sign * input_fresh), sum(sign * cache_read),"
    " sum(sign * output_visible), sum(sign) FROM usage GROUP BY ALL"
)


ROLLED = (
    "SELECT tenant, root_run, hour, sum(input_fresh), sum(cache_read), sum(output_visible), sum(events)"
    " FROM usage_sums GROUP BY ALL"
)


def group(folder: Path, args) -> dict:
    """tenant × run × hour over all rows that ``bulk`` stored: from the rows, and from the roll-ups that the ledger keeps."""
    if not (folder / "bulk.db").exists():
        bulk(folder, args)
    with Ledger.open(folder / "bulk.db", read_only=True) as ledger:
        rows_s, groups = best_of(ledger, GROUPING)
        sums_s, same = best_of(ledger, ROLLED)
    assert groups == same
    return {
        "group_by_10m_s": round(rows_s, 3),
        "group_by_10m_from_rollups_s": round(sums_s, 3),
        "groups": groups,
        "grouped_rows": args.rows,
    }


def best_of(ledger: Ledger, sql: str) -> tuple[float, int]:
    """(seconds of the fastest of three, rows)."""
    took_s, rows = [], 0
    for _ in range(3):
        start = time.perf_counter()
        rows = ledger.query(sql).num_rows
        took_s.append(time.perf_counter() - start)
    return min(took_s), rows


def rate(folder: Path, args) -> dict:
    """Usage as a file of its own, rated under a graduated plan: ``benchmarks/rating.py``."""
    from rating import make_events, rate_10m

    make_events(folder / "usage.parquet", args.rows)
    return {"rate_10m_s": round(rate_10m(folder / "usage.parquet"), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--keys", type=int, default=50_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of bulk segments")
    parser.add_argument("--events", type=int, default=200_000, help="single events of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--random", action="store_true", help="UUIDv4 with many keys, too")
    parser.add_argument("--folder", help="where to work (default: a folder of its own, removed at the end)")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ledger-", dir=args.folder))
    found: dict = {}
    try:
        for part in args.only:
            if part == "keys":
                found |= with_keys(folder, args, False)
                found |= with_keys(folder, args, True) if args.random else {}
            else:
                found |= {"durable": durable, "bulk": bulk, "group": group, "rate": rate}[part](folder, args)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found) if args.json else "\n".join(f"{name:36} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
