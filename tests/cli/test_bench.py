"""`tokenworks bench`: from a command line to the files, against a server in another thread; what is refused."""

import asyncio
import json
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serve" / "bench"))
from scripted_server import Scripted, serving  # type: ignore[import-not-found]

from tokenworks.cli.bench_load import demand, lengths
from tokenworks.cli.main import main, parser


@pytest.fixture
def server():
    """In real time, in a loop of its own."""
    scripted, ready, loop = Scripted(tokenize=True), threading.Event(), asyncio.new_event_loop()

    async def serve():
        async with serving(scripted):
            ready.set()
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield scripted
    loop.call_soon_threadsafe(stopped.set)
    thread.join()
    loop.run_until_complete(loop.shutdown_asyncgens())
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(task)
    loop.close()


def test_from_the_command_line_to_the_files(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-1")
    url, out = f"http://127.0.0.1:{server.port}", tmp_path / "out"
    arguments = ["--clients", "3", "--requests", "9", "--input", "50:80", "--output", "4", "--most-late", "1 min"]
    assert main(["bench", url, *arguments, "--slo", "ttft=1min", "--key-env", "MY_KEY", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "answered 9 of 9 requests" in said
    assert "sk-1" not in said
    assert sorted(p.name for p in out.iterdir()) == ["bench.html", "profile_export_aiperf.json", "requests.csv"]
    table = json.loads((out / "profile_export_aiperf.json").read_text())
    assert table["request_count"]["avg"] == 9
    assert table["tokenworks"]["good_requests"] == 9
    assert 50 <= table["input_sequence_length"]["min"] <= table["input_sequence_length"]["max"] <= 80
    assert {asked[3]["authorization"] for asked in server.requests} == {"Bearer sk-1"}
    assert main(["rehearse", str(out / "requests.csv"), "laptop", "--warmup", "0 s"]) in (0, 1)
    assert "9 requests" in capsys.readouterr().out


def args_of(*arguments):
    return parser().parse_args(["bench", "http://127.0.0.1:1", *arguments])


def test_loads():
    made = demand(args_of("--rate", "50", "--arrivals", "constant", "--duration", "2 s", "--input", "7"))
    assert len(made.requests) == 100
    assert (made.requests.arrival[1:] - made.requests.arrival[:-1]).tolist() == [2 * 10**9] * 99
    assert set(made.requests.input_tokens) == {7}
    assert made.steady
    assert demand(args_of("--rate", "50", "--requests", "5")).requests.arrival.shape == (5,)
    closed = demand(args_of("--clients", "4", "--requests", "12", "--think", "1 s"))
    assert (closed.clients, len(closed.requests), closed.rate_s) == (4, 12, None)
    trace = demand(args_of("--trace", "azure-2023-conversation", "--scale", "20 req/s", "--duration", "10 s"))
    assert 100 < len(trace.requests) < 400
    assert not trace.steady
    agents = demand(args_of("--agents", "deep-research", "--runs", "60 per minute", "--duration", "5 s"))
    assert len(agents.requests.after) > 0
    assert not agents.steady


def test_a_factorys_own_workload_at_its_own_rate():
    """laptop: 70% of what its twin sustains."""
    made = demand(args_of("--factory", "laptop", "--duration", "60 s"))
    assert made.rate_s is not None
    assert len(made.requests) == pytest.approx(60 * made.rate_s, rel=0.5)
    assert "azure-2023-conversation" in made.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say one load"),
        (["--rate", "1", "--clients", "2"], "given: rate, clients"),
        (["--rate", "0"], "--rate: Input should be greater than 0"),
        (["--rate", "5", "--arrivals", "poisson", "--cv", "2"], "cv: belongs to gamma"),
        (["--clients", "5", "--arrivals", "gamma"], "--arrivals belongs to --rate, not to --clients"),
        (["--clients", "5", "--requests", "5", "--think", "5"], "--think: unknown unit"),
        (["--agents", "chat"], "--runs: agents need runs"),
        (["--agents", "nobody", "--runs", "2 per minute"], "nobody"),
        (["--trace", "nothing"], "no trace or file 'nothing'"),
        (["--trace", "azure-2023-code", "--scale", "70% of sustainable"], "what a server sustains is not known"),
        (["--rate", "5", "--input", "many"], "--input many: write tokens as 1024"),
        (["--rate", "5", "--duration", "0 s"], "--duration must be above"),
        (["--rate", "100000", "--duration", "1 h"], "too many for one bench"),
        (["--factory", "two-halls"], "a bench plays one workload"),
        (["--factory", "laptop", "--service", "x"], "no such service"),
        (["--rate", "5", "--slo", "speed=1"], "--slo speed=1"),
        (["--rate", "5", "--extra", "[1]"], "--extra must be a JSON object"),
        (["--rate", "5", "--chars-per-token", "0"], "--chars-per-token 0"),
        (["--rate", "5", "--ca", "nowhere.pem"], "no such file: nowhere.pem"),
        (["--rate", "5"], "no server at http://127.0.0.1:1"),
    ],
)
def test_what_is_refused(arguments, said, tmp_path, capsys):
    assert main(["bench", "http://127.0.0.1:1", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_lengths_as_they_are_written():
    assert lengths("--input", "{kind: lognormal, mean: 1000, sigma: 0.8}") == {
        "kind": "lognormal",
        "mean": 1000,
        "sigma": 0.8,
    }
