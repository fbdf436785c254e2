"""Events by file, by pipe and over HTTP, from the command line."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from ledger_samples import usage

from tokenworks.cli.ledger_intake import FORMATS
from tokenworks.cli.main import main
from tokenworks.ledger import Ledger
from tokenworks.ledger.ingest import parse
from tokenworks.ledger.quarantine import RESTATED, held

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1_772_366_400, "model": "gpt-5",
    "choices": [{"message": {"content": "hello"}}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}},
}  # fmt: skip
CACHED = {
    "id": "l1", "model": "m", "cache_hit": True, "startTime": 1_772_366_400.0, "endTime": 1_772_366_401.0,
    "prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "status": "success", "metadata": {"user_api_key_team_id": "t"},
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    return tmp_path / "l.db"


def told(capsys, *arguments, code=0):
    assert main(["ledger", *map(str, arguments), "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_the_formats_of_the_verb_are_those_of_the_readers():
    assert FORMATS == parse.FORMATS


def test_a_providers_answers_from_a_file_and_a_pipe(place, tmp_path, capsys, monkeypatch):
    whose = ["--format", "openai", "--tenant", "acme", "--source", "app", "--ledger", place]
    (tmp_path / "in.jsonl").write_text(json.dumps(CHAT))
    assert told(capsys, "ingest", tmp_path / "in.jsonl", *whose)["stored"] == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps([CHAT, CHAT | {"id": "c-2"}]).encode())))
    found = told(capsys, "ingest", "-", *whose)
    assert (found["stored"], found["duplicate"]) == (1, 1)
    with Ledger.open(place) as ledger:
        row = ledger.usage_table().to_pylist()[0]
    assert (row["source"], row["tenant"], row["input_fresh"], row["cache_read"]) == ("app", "acme", 36, 64)


def test_what_is_kept_aside_is_taken_in_again_in_its_own_format(place, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text("\n" + json.dumps(CHAT) + "\n" + json.dumps(CHAT | {"id": "c", "usage": 7}))
    first = told(
        capsys, "ingest", tmp_path / "in.jsonl", "--format", "openai", "--source", "app", "--ledger", place, code=2
    )
    assert (first["malformed"], first["blank"], first["stored"]) == (2, 1, 0)
    aside = told(capsys, "aside", "--ledger", place)["aside"]
    assert [(line["line"], line["format"]) for line in aside] == [(2, "openai"), (3, "openai")]
    assert "no tenant" in aside[0]["reason"]
    assert told(capsys, "ingest", "--again", "--ledger", place, code=2)["malformed"] == 2
    again = told(capsys, "ingest", "--again", "--tenant", "acme", "--ledger", place, code=2)
    assert (again["stored"], again["malformed"]) == (1, 1)
    assert len(told(capsys, "aside", "--ledger", place)["aside"]) == 1
    with Ledger.open(place) as ledger:
        assert ledger.usage_table()["source"].to_pylist() == ["app"]


def test_a_conflict_waits_as_the_event_that_it_was(place, tmp_path, capsys):
    told_of = ["--format", "openai", "--tenant", "acme", "--ledger", place]
    (tmp_path / "in.jsonl").write_text(json.dumps(CHAT))
    told(capsys, "ingest", tmp_path / "in.jsonl", *told_of)
    (tmp_path / "in.jsonl").write_text(json.dumps(CHAT | {"model": "gpt-6"}))
    assert told(capsys, "ingest", tmp_path / "in.jsonl", *told_of, code=2)["conflict"] == 1
    (line,) = told(capsys, "aside", "--ledger", place)["aside"]
    assert line["reason"].startswith("conflict: its key holds another payload at 1")
    assert told(capsys, "ingest", "--again", "--ledger", place, code=2)["conflict"] == 1


def test_restated_tokens_are_a_record_and_never_wait(place, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text(json.dumps(CACHED))
    found = told(capsys, "ingest", tmp_path / "in.jsonl", "--format", "litellm", "--tenant", "t", "--ledger", place)
    assert (found["restated"], found["stored"]) == (1, 0)
    assert told(capsys, "aside", "--ledger", place) == {"aside": [], "restated": 1}
    with Ledger.open(place) as ledger:
        assert json.loads(held(ledger, RESTATED)[0].content)["id"] == "l1"


@pytest.fixture
def server(place):
    """A serving process: its port, and the process itself."""
    command = [
        sys.executable,
        "-m",
        "tokenworks",
        "ledger",
        "serve",
        "--port",
        "0",
        "--ledger",
        str(place),
        "--tenant",
        "acme",
    ]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | paths
    )
    first = process.stdout.readline()
    assert first.startswith("listening at http://127.0.0.1:"), process.stderr.read()
    yield int(first.split(":")[2].split(",")[0]), process
    if process.poll() is None:
        process.kill()
    process.communicate()


def post(port, body, path="/v1/events", kind="application/x-ndjson"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_server_stores_knows_again_and_refuses(server, place, capsys, by):
    port, process = server
    both = msgspec.json.encode(usage(1)) + b"\n" + msgspec.json.encode(usage(2))
    status, found = post(port, both)
    assert (status, found["stored"]) == (200, 2)
    status, found = post(port, both)
    assert (status, found["stored"], found["duplicate"]) == (200, 0, 2)
    status, found = post(port, msgspec.json.encode(usage(1, input_fresh=5)))
    assert (status, found["conflict"], found["reasons"][0]["id"]) == (409, 1, "call-1")
    assert post(port, json.dumps(CHAT), "/v1/events?format=openai", "application/json")[1]["stored"] == 1
    status, found = post(port, b"{oops\n")
    assert (status, found["malformed"]) == (400, 1)
    reader = told(capsys, "query", "SELECT id FROM usage ORDER BY seq", "--ledger", place)
    assert [row["id"] for row in reader] == ["call-1", "call-2", "chatcmpl-1/1"]
    process.send_signal(by)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
    assert told(capsys, "verify", "--ledger", place)["sound"]
    aside = told(capsys, "aside", "--ledger", place)["aside"]
    assert [(line["origin"], line["format"]) for line in aside] == [("http", "native")] * 2


def test_what_was_acknowledged_survives_a_kill(server, place):
    port, process = server
    assert post(port, msgspec.json.encode(usage(1)))[0] == 200
    process.kill()
    process.wait()
    with Ledger.open(place) as ledger:
        assert ledger.usage_table()["id"].to_pylist() == ["call-1"]


def test_a_port_that_is_taken_is_named(server, place, capsys):
    port, _ = server
    assert main(["ledger", "serve", "--port", str(port), "--ledger", str(place.with_name("other.db"))]) == 2
    assert f"cannot listen at 127.0.0.1:{port}" in capsys.readouterr().err


def test_one_process_and_one_file_are_enough(place, tmp_path, capsys, monkeypatch):
    """No server anywhere: the whole chain runs with sockets and other processes forbidden."""

    def forbidden(*_arguments, **_options):
        raise AssertionError("a socket or a process")

    (tmp_path / "in.jsonl").write_bytes(msgspec.json.encode(usage(1)))
    for name in ("socket.socket", "subprocess.Popen", "os.fork"):
        monkeypatch.setattr(name, forbidden)
    assert told(capsys, "ingest", tmp_path / "in.jsonl", "--ledger", place)["stored"] == 1
    assert told(capsys, "query", "SELECT count(*) AS n FROM usage", "--ledger", place) == [{"n": 1}]
    assert told(capsys, "close", "2025-06", "--ledger", place)["last_seq"] == 1
    assert told(capsys, "verify", "--ledger", place)["sound"]
    assert {path.name.removeprefix(place.name) for path in tmp_path.glob(f"{place.name}*")} <= {
        "",
        "-wal",
        "-shm",
        "-lock",
        ".lock",
    }
