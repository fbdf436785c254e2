"""Several gateway processes on one port: what they are together."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from live_gateway import CHUNK, DONE, Engine, run
from live_processes import SOURCE, desk, processes, require_booked, until

from tokenworks.api import load
from tokenworks.errors import InputError
from tokenworks.serve.processes.doors import doors, meeting_place
from tokenworks.serve.processes.supervisor import Supervisor, Wanted, supervised

PLAIN = {"model": "chat", "messages": []}


def counted(page):
    return int(re.search(rb'requests_total\{service="chat",status="200"\} (\d+)', page)[1])


def test_they_share_port_ledger_and_counters_and_do_not_outlive_their_supervisor(tmp_path):
    async def case():
        async with processes(tmp_path, Engine()) as gate:
            for _ in range(40):
                assert (await gate.post(PLAIN))[0] == 200
            await asyncio.sleep(0.8)  # their pages are put down every half a second
            pages = [counted((await gate.get("/v1/metrics"))[2]) for _ in range(12)]
            await gate.kill_and_wait("gateway-0")
            after = counted((await gate.get("/v1/metrics"))[2])
            await gate.post(PLAIN)
            children = gate.pids("")
            gate.process.kill()
            await gate.process.wait()
            await until(lambda: not [pid for pid in children if alive(pid)])  # without their supervisor nothing stays
            return pages, after

    pages, after = run(case())
    assert set(pages) == {40}
    assert after == 40  # those of the killed one stay counted
    assert require_booked(tmp_path, []) == 41
    rows = sources(tmp_path)
    assert len(rows) >= 2, "one process answered them all"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def sources(folder):
    from tokenworks.ledger import Ledger

    with Ledger.open(folder / "ledger.db", read_only=True) as ledger:
        return {row["source"] for row in ledger.usage_table().to_pylist()}


async def slow(request, connection):
    connection.begin(200, b"text/event-stream")
    for _ in range(8):
        connection.chunk(CHUNK)
        await asyncio.sleep(0.1)
    connection.finish(DONE)


def test_a_changed_file_is_taken_over_by_all_a_bad_one_by_none_and_sigterm_lets_streams_end(tmp_path):
    async def case():
        old, new = Engine(), Engine()
        async with processes(tmp_path, old, new) as gate:
            desk(tmp_path, gate.ports[1:], ", aliases: {gpt: chat}")
            gate.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.7)
            asked = len(old.asked)
            statuses = {(await gate.post({**PLAIN, "model": "gpt"}))[0] for _ in range(12)}
            good = gate.file.read_text()
            gate.file.write_text(good.replace("gpt: chat", "gpt: chatt"))
            gate.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.7)
            await gate.kill_and_wait("gateway-1")  # the one in its place gets the factory in force, not the file's
            statuses |= {(await gate.post({**PLAIN, "model": "gpt"}))[0] for _ in range(12)}
            counts = len(old.asked) - asked, len(new.asked)
            new.script = slow
            asking = asyncio.ensure_future(gate.post({**PLAIN, "stream": True}))
            await asyncio.sleep(0.3)
            return statuses, *counts, await gate.stop(), await asking

    statuses, asked_old, asked_new, code, (status, _, body) = run(case())
    assert (status, body) == (200, CHUNK * 8 + DONE)
    assert (statuses, asked_old, asked_new, code) == ({200}, 0, 24, 0)
    said = (tmp_path / "err.txt").read_text()
    assert "not taken over" in said
    assert "no service 'chatt'" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes", "65"], "--processes is between 1 and 64"),
        (["--processes", "2", "--tls-cert", "a.pem"], "--tls-cert and --tls-key go together"),
        (["--processes", "2", "--tls-cert", "a.pem", "--tls-key", "b.pem"], "no such file: a.pem"),
        (["--processes", "2", "--ledger", "nowhere/ledger.db"], "cannot be written there"),
    ],
)
def test_what_cannot_begin_is_said_with_exit_code_2(tmp_path, arguments, said):
    desk(tmp_path, [9])
    done = subprocess.run(
        [sys.executable, "-m", "tokenworks", "serve", "desk.yaml", "--port", "0", *arguments],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"TOKENWORKS_KEYS": "", "PYTHONPATH": SOURCE},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_another_server_shares_is_not_joined():
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match="cannot listen"):
            doors("127.0.0.1", other.getsockname()[1], 2)


def test_the_ledgers_socket_is_for_its_user_alone(tmp_path, monkeypatch):
    made = []

    async def start(supervisor):
        made.append(supervisor._folder.stat().st_mode & 0o777)
        raise InputError("far enough")

    monkeypatch.setattr(Supervisor, "start", start)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    async def case():
        async with supervised(Wanted(load("laptop"), 1, "127.0.0.1", 0, "ledger.db")):
            raise AssertionError

    with pytest.raises(InputError, match="far enough"):
        run(case())
    assert made == [0o700]


def test_a_path_that_no_socket_can_have_is_named(tmp_path):
    with pytest.raises(InputError, match="TMPDIR"):
        meeting_place(tmp_path / ("x" * 120))
