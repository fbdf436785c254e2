"""`tokenworks serve` as a process: what it says, how it ends, what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tokenworks.cli.main import main

UPSTREAM = "serve: {upstreams: [{service: chat, url: 'http://127.0.0.1:9'}]}\n"


@pytest.fixture
def desk(tmp_path):
    from tokenworks.api import examples

    path = tmp_path / "desk.yaml"
    path.write_text(examples()["laptop"].read_text())
    return path


README = (Path(__file__).parents[2] / "README.md").read_text()


def ask_as_the_readme_does(address):
    """Its block in Python, at another port."""
    (block,) = re.findall(r"^```python\n(from openai.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert "http://127.0.0.1:8000/v1" in block
    exec(compile(block.replace("http://127.0.0.1:8000/v1", address), "README.md", "exec"), {})


def test_it_serves_until_it_is_asked_to_stop(tmp_path, desk, capsys):
    command = [
        sys.executable,
        "-m",
        "tokenworks",
        "serve",
        str(desk),
        "--emulate",
        "--speed",
        "0.5",
        "--streams",
        "2",
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TOKENWORKS_KEYS": ""},
    ) as process:
        line = process.stdout.readline()
        assert line.endswith("serves chat; ledger ledger.db\n"), line + process.stderr.read()
        body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}).encode()
        answer = json.loads(
            urllib.request.urlopen(
                urllib.request.Request(f"{line.split()[0]}/chat/completions", body), timeout=30
            ).read()
        )
        assert answer["usage"]["completion_tokens"] == 3
        ask_as_the_readme_does(line.split()[0])
        assert len(capsys.readouterr().out.split()) == 32
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "stopping\n", "")
    assert main(["ledger", "verify", "--ledger", str(tmp_path / "ledger.db")]) == 0


@pytest.mark.parametrize(
    ("more", "arguments", "said"),
    [
        ("", [], "no service has an upstream"),
        (UPSTREAM, ["--host", "0.0.0.0"], "give them keys"),
        (UPSTREAM, ["--keys", "none.json"], "no such key file"),
        (UPSTREAM, ["--port", "99999"], "cannot listen at 127.0.0.1:99999"),
        ("", ["--emulate", "--speed", "0"], "--speed is between"),
        (UPSTREAM.replace("'}", "', key_env: NOT_SET_ANYWHERE}"), [], "NOT_SET_ANYWHERE"),
        (UPSTREAM.replace("'}", "', key_file: nowhere}"), [], "cannot read the upstream's key file nowhere"),
        (UPSTREAM.replace("service: chat", "service: chatt"), [], "no service 'chatt'; known are chat"),
        (UPSTREAM.replace("http:", "ftp:"), [], "is no address"),
        (UPSTREAM.replace("http://", "http://user:secret@"), [], "an address holds no user or password"),
        ("serve: {aliases: {gpt: chad}}\n", [], "no service 'chad'"),
        ("serve: {retry: 2}\n", [], "unknown key. Did you mean retries"),
        ("serve: {connect: 2}\n", [], "has no unit"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(tmp_path, desk, capsys, monkeypatch, more, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWORKS_KEYS", raising=False)
    desk.write_text(desk.read_text() + more)
    assert main(["serve", str(desk), "--port", "0", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "secret" not in error


def test_a_factory_with_live_traffic_is_the_same_run(desk):
    """Where live traffic goes is no part of a rehearsal: the key of its run in the ledger stays."""
    from tokenworks.api import load
    from tokenworks.rehearsal.metering import run_key

    bare = load(desk)
    desk.write_text(desk.read_text() + UPSTREAM)
    assert run_key(load(desk)) == run_key(bare)
    assert load(desk).replace("serve.retries", 1).to_yaml().count("http://127.0.0.1:9") == 1
