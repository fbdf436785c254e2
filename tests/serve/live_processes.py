"""`tokenworks serve --processes N` as real processes, in front of scripted engines in the test's own event loop."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from live_gateway import CHAT, CHUNK, DONE, call, several

from tokenworks.api import examples
from tokenworks.ledger import Ledger

SOURCE = str(Path(__file__).parents[2] / "src")


class Processes:
    """A supervisor and what it started."""

    def __init__(self, process, port, folder):
        self.process, self.port, self.folder = process, port, folder
        self.file = folder / "desk.yaml"

    def pids(self, name):
        """Of the children whose name begins so."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children}
        names = {
            pid: words[-2].decode() for pid, words in commands.items() if len(words) > 1
        }  # not those that are dead
        return [pid for pid, found in sorted(names.items(), key=lambda item: item[1]) if found.startswith(name)]

    def kill(self, name):
        """kill −9."""
        (pid,) = self.pids(name)
        os.kill(pid, signal.SIGKILL)

    def said(self, words):
        """How often, on standard error."""
        return (self.folder / "err.txt").read_text().count(words)

    async def kill_and_wait(self, name):
        """… until another process does its work."""
        before = self.said(f"{name} works again")
        self.kill(name)
        await until(lambda: self.said(f"{name} works again") > before)

    async def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def post(self, body, headers=()):
        return await call(self.port, "POST", CHAT, json.dumps(body).encode(), headers)

    async def get(self, path):
        return await call(self.port, "GET", path)


async def until(true, limit_s=30.0):
    for _ in range(round(limit_s / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen")


def desk(folder, ports, more=""):
    """A factory file with an upstream at each port."""
    rows = ", ".join(f"{{service: chat, url: 'http://127.0.0.1:{port}'}}" for port in ports)
    (folder / "desk.yaml").write_text(
        examples()["laptop"].read_text() + f"serve: {{upstreams: [{rows}], drain: 2 s{more}}}\n"
    )


@asynccontextmanager
async def processes(folder, *engines, count=2, more=(), ledger="ledger.db", serve=""):
    async with several(engines) as ports:
        desk(folder, ports, serve)
        command = [sys.executable, "-m", "tokenworks", "serve", "desk.yaml", "--port", "0", "--ledger", ledger]
        with open(folder / "err.txt", "wb") as err:
            process = await asyncio.create_subprocess_exec(
                *command, "--processes", str(count), *more, stdout=asyncio.subprocess.PIPE, stderr=err, cwd=folder,
                env=os.environ | {"TOKENWORKS_KEYS": "", "PYTHONPATH": SOURCE},
            )  # fmt: skip
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            assert "serves chat" in line, (folder / "err.txt").read_text()
            running = Processes(process, int(line.split("/v1")[0].rsplit(":", 1)[1]), folder)
            running.ports, running.engines = ports, engines
            yield running
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


class Traffic:
    """Callers who ask again and again, every second one for a stream; keeps what they believe to have got whole."""

    def __init__(self, gate):
        self.gate, self.finished, self.closed, self.wrong = gate, [], 0, []
        self._over = False

    async def run(self, callers):
        await asyncio.gather(*(self._ask_again(number) for number in range(callers)))

    def end(self):
        self._over = True

    async def _ask_again(self, number):
        while not self._over:
            stream = number % 2 == 0
            try:
                status, headers, body = await self.gate.post({"model": "chat", "messages": [], "stream": stream})
            except (ConnectionError, ValueError, IndexError):  # cut off, in the middle of its head or of a chunk
                status, headers, body = 0, {}, b""
            if status == 0:
                self.closed += 1
            elif status != 200 or (stream and body != CHUNK * 3 + DONE):
                self.wrong.append((status, body))
            else:
                self.finished.append(headers["x-request-id"])
            await asyncio.sleep(0.001)


def require_booked(folder, finished, place=None):
    """Every answer that a caller saw whole is in the ledger, once, and the chain holds. Returns the events stored."""
    with Ledger.open(place or folder / "ledger.db") as ledger:
        verdict = ledger.verify()
        assert verdict.sound, verdict.reason
        ids = [row["id"] for row in ledger.usage_table().to_pylist()]
    assert len(ids) == len(set(ids)), "an event was doubled"
    assert set(finished) <= set(ids), "an acknowledged event was lost"
    return len(ids)
