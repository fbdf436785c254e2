"""Router domains."""

import json
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from agreement import disagreements
from test_kernel import service_time_model

from tokenworks.cli.main import main
from tokenworks.errors import InputError
from tokenworks.rehearsal.cells import simulate_in_cells
from tokenworks.twin.cell import ROUND_ROBIN, Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import requests
from tokenworks.workload.streams import part

OPTIONS = TwinOptions(horizon_ticks=4 * 10**12, bucket_ticks=10**11, buckets=40, record=True)


def load(n=3000, sessions=False):
    rng = np.random.default_rng(2)
    found = requests(
        np.cumsum(rng.exponential(0.01, n)),
        rng.integers(1, 4, n).astype(np.int32),
        rng.integers(1, 9, n).astype(np.int32),
    )
    return replace(found, session=rng.integers(0, 50, n)) if sessions else found


def cell(workers, policy=ROUND_ROBIN):
    model = service_time_model(16, np.linspace(0.001, 0.01, 17), 0.002)
    return Cell((model,), (0,) * workers, (ServicePlan("q", workers=tuple(range(workers)), policy=policy),))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_round_robin_in_cells_is_round_robin(count):
    """Dealt in turn twice is dealt in turn: every request, worker and bucket as without cells."""
    whole, parts = simulate(cell(4), load(), OPTIONS), simulate_in_cells(cell(4), load(), OPTIONS, count)
    for name in whole.log.__dataclass_fields__:
        assert np.array_equal(getattr(whole.log, name), getattr(parts.log, name)), name
    for name in whole.workers.__dataclass_fields__:
        assert np.array_equal(getattr(whole.workers, name), getattr(parts.workers, name)), name
    for name in whole.timeline.__dataclass_fields__:
        assert np.allclose(getattr(whole.timeline, name), getattr(parts.timeline, name), rtol=1e-12), name
    assert np.array_equal(whole.services[0].ttft_counts, parts.services[0].ttft_counts)


def test_sessions_stay_in_their_cell():
    stream = load(sessions=True)
    log = simulate_in_cells(cell(6, policy=2), stream, OPTIONS, 3).log
    assert np.array_equal(log.worker % 3, stream.session % 3)


def chunks_of(size, sessions):
    whole = load(sessions=sessions)
    for at in range(0, len(whole), size):
        yield part(whole, at, min(len(whole), at + size))


@pytest.mark.parametrize("sessions", [False, True])
@pytest.mark.parametrize("size", [7, 1000])
def test_a_stream_in_chunks_is_dealt_as_the_whole(sessions, size):
    """Chunks of a size that no number of cells divides; the turn goes on from one to the next."""
    plain = replace(OPTIONS, record=False)
    whole = simulate_in_cells(cell(8, policy=2), load(sessions=sessions), plain, 4)
    dealt = simulate_in_cells(cell(8, policy=2), partial(chunks_of, size, sessions), plain, 4)
    assert disagreements(whole, dealt) == []


def endless(count):
    """So many chunks of 5,000 requests, each made when it is asked for."""
    for k in range(count):
        chunk = load(5000)
        yield replace(chunk, arrival=chunk.arrival + k * 60 * 10**11)


def peak_bytes(chunks):
    tracemalloc.start()
    found = simulate_in_cells(cell(4), partial(endless, chunks), replace(OPTIONS, horizon_ticks=0, record=False), 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.services[0].finished == 5000 * chunks
    return peak


def test_memory_does_not_grow_with_the_stream():
    """Ten times the requests; they themselves would take 14 MB."""
    peak_bytes(1)
    short, long = peak_bytes(4), peak_bytes(40)
    assert long < short + 200_000


def test_processes_change_nothing():
    source = partial(chunks_of, 500, True)
    plain = replace(OPTIONS, record=False)
    one, two = (simulate_in_cells(cell(6, policy=2), source, plain, 3, processes=n) for n in (1, 2))
    assert disagreements(one, two) == []


def test_what_cannot_be_divided_is_said():
    with pytest.raises(InputError, match="q has fewer workers"):
        simulate_in_cells(cell(2), load(), OPTIONS, 3)
    with pytest.raises(InputError, match="closed loop"):
        simulate_in_cells(cell(2), load(), replace(OPTIONS, clients=4), 2)
    with pytest.raises(InputError, match="needs them whole"):
        simulate_in_cells(cell(2), partial(chunks_of, 9, False), OPTIONS, 2)


def test_a_factory_in_cells(tmp_path, capsys):
    run = ["run", "superpod-h200", "--json", "--set", "run.horizon=20 s", "--set", "run.warmup=0 s"]
    said = []
    for cells in ("1", "2"):
        assert main([*run, "--set", f"run.cells={cells}", "--out", str(tmp_path / cells)]) == 0
        said.append(json.loads(capsys.readouterr().out))
    one, two = said
    assert [s["arrived"] for s in one["services"]] == [s["arrived"] for s in two["services"]]
    assert one["services"][0]["ttft"]["mean_s"] != two["services"][0]["ttft"]["mean_s"]
