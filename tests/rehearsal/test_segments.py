"""Segments written while the twin runs: the same bytes as after it, all or none, nothing lost on the way."""

from dataclasses import replace
from time import sleep

import numpy as np
import pytest
from feature_cases import feature_case

from tokenworks.errors import OutputError
from tokenworks.ledger import Ledger, bulk
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.rehearsal.handover import MOST_WAITING, GivenUpError, Handover
from tokenworks.twin.cell import IN_SYSTEM, Departed
from tokenworks.twin.departures import departed
from tokenworks.twin.simulate import simulate

ROWS = 3  # of a segment


def case(seed: int):
    """A random factory and workload, its options, and what its events are called."""
    cell, load, options = feature_case(seed)
    load = replace(load, tenant=np.random.default_rng(seed).integers(0, 3, len(load)).astype(np.int32))
    names = tuple(f"s{i}" for i in range(len(cell.services)))
    return cell, load, replace(options, allocate=True, chunk_rows=ROWS), RunKey("run", names, names, ("a", "b", "c"))


def tables(key, load, chunks):
    return (usage_table(key, load, chunk) for chunk in chunks)


def streamed(ledger, seed: int, run_key="run/1"):
    """(receipt, result) of a run whose segments are written beside the twin."""
    cell, load, options, key = case(seed)
    with Handover(lambda chunks: ledger.append_run(run_key, tables(key, load, chunks))) as sink:
        result = simulate(cell, load, options, sink=sink)
        return sink.result(), result


def files(ledger) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(ledger.segments.glob("**/*")) if path.is_file()}


@pytest.mark.parametrize("seed", [0, 2, 3, 5, 13])
def test_segments_beside_the_twin_are_those_after_it(seed, tmp_path):
    cell, load, options, key = case(seed)
    whole = simulate(cell, load, replace(options, record=True))
    with Ledger.open(tmp_path / "beside.db", segments=tmp_path / "a") as beside:
        receipt, _ = streamed(beside, seed)
        with Ledger.open(tmp_path / "after.db", segments=tmp_path / "b") as after:
            told = after.append_run("run/1", tables(key, load, departed(whole, ROWS)))
            assert files(beside) == files(after)
            assert [b.body for b in beside.batches()] == [b.body for b in after.batches()]
        assert receipt == told
        assert beside.verify().sound
        stored = beside.usage_table()
    came = np.flatnonzero(whole.log.status > 0)
    assert len(stored) == len(came) > 0
    assert len(set(stored["source"].to_pylist())) == -(-len(came) // ROWS)
    energy = dict(zip(map(int, stored["id"].to_pylist()), stored["energy_uj"].to_pylist(), strict=True))
    assert energy == {int(i): int(whole.allocation.energy_uj[i]) for i in came}


def unbalanced(seed: int) -> list[str]:
    """Sums over chunks and rows of workers that are not what the workers metered."""
    cell, load, options, _ = case(seed)
    chunks: list[Departed] = []
    result = simulate(cell, load, options, sink=chunks.append)
    rest, workers = result.allocation, result.workers
    assert all(len(chunk) == ROWS for chunk in chunks[:-1])
    assert {chunk.end_ticks for chunk in chunks if (chunk.log.status == IN_SYSTEM).any()} <= {result.end_ticks}
    total = lambda name: sum(int(getattr(chunk.shares, name).sum()) for chunk in chunks)  # noqa: E731
    found = []
    metered = int(workers.dynamic_uj.sum()) + int(workers.static_uj.sum())
    if total("energy_uj") + int(rest.idle_uj.sum()) + int(rest.lost_uj.sum()) != metered:
        found.append("microjoules")
    if total("ticks") + int(rest.idle_ticks.sum()) + int(rest.lost_ticks.sum()) != result.end_ticks * len(cell.workers):
        found.append("ticks")
    if sum(int(chunk.log.produced.sum()) for chunk in chunks) != sum(s.output_tokens for s in result.services):
        found.append("tokens")
    return found + [
        f"{n} below 0" for n in ("energy_uj", "ticks") if any(getattr(x.shares, n).min() < 0 for x in chunks)
    ]


def test_nothing_is_lost_between_chunks():
    assert not {seed: found for seed in range(200, 240) if (found := unbalanced(seed))}


def test_a_run_is_stored_once_and_never_cut_otherwise(tmp_path):
    cell, load, options, key = case(3)
    whole = simulate(cell, load, replace(options, record=True))
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        first, _ = streamed(ledger, 3)
        again, _ = streamed(ledger, 3)
        assert (first.status, again.status) == ("stored", "duplicate")
        assert (first.seq, first.last_seq) == (again.seq, again.last_seq) == (1, len(whole.order))
        before = files(ledger)
        otherwise = ledger.append_run("run/1", tables(key, load, departed(whole, ROWS + 1)))
        longer = ledger.append_run("run/1", tables(replace(key, tenants=("x", "y", "z")), load, departed(whole, ROWS)))
        assert (otherwise.status, longer.status) == ("conflict", "conflict")
        assert files(ledger) == before
        assert len(ledger.usage_table()) == len(whole.order)
        assert ledger.verify().sound


def assert_untouched(ledger):
    assert len(ledger.usage_table()) == 0
    assert ledger.segments.exists()
    assert files(ledger) == {}
    assert ledger.head() is None
    assert ledger.verify().sound


def test_a_full_disk_ends_the_run_and_leaves_nothing(tmp_path, monkeypatch):
    write, written = bulk.write_parquet, []

    def full_after_three(folder, name, *rest, **options):
        written.append(name)
        if len(written) > 3:
            raise OutputError(f"segment {folder / name}: No space left on device")
        return write(folder, name, *rest, **options)

    monkeypatch.setattr(bulk, "write_parquet", full_after_three)
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        with pytest.raises(OutputError, match="No space left"):
            streamed(ledger, 3)
        assert_untouched(ledger)
        monkeypatch.setattr(bulk, "write_parquet", write)
        assert streamed(ledger, 3)[0].status == "stored"  # nobody holds the ledger, nothing is in the way


def test_a_run_that_fails_leaves_nothing(tmp_path):
    cell, load, options, key = case(3)

    def stop():
        raise KeyboardInterrupt

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        with (
            pytest.raises(KeyboardInterrupt),
            Handover(lambda chunks: ledger.append_run("run/1", tables(key, load, chunks))) as sink,
        ):
            chunks = list(departed(simulate(cell, load, replace(options, record=True)), ROWS))
            for chunk in chunks[:3]:
                sink(chunk)
            stop()
        assert_untouched(ledger)


def test_work_sees_that_the_run_was_given_up():
    seen = []

    def work(chunks):
        try:
            seen.extend(chunks)
        except GivenUpError:
            seen.append("given up")
            raise

    with pytest.raises(ZeroDivisionError), Handover(work) as sink:
        sink([1])
        raise ZeroDivisionError
    assert seen[-1] == "given up"


def test_few_chunks_wait_for_slow_work():
    given, ahead = [], []

    def work(chunks):
        for taken, _ in enumerate(chunks):
            sleep(0.002)
            ahead.append(len(given) - taken)

    with Handover(work) as sink:
        for number in range(40):
            sink([number])
            given.append(number)
        sink.result()
    assert len(ahead) == 40
    assert max(ahead) <= MOST_WAITING + 1


def test_work_that_ends_early_never_blocks_the_twin():
    def work(chunks):
        next(chunks)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"), Handover(work) as sink:
        for _ in range(100):
            sink([1])
