"""Emulated workers, each in a process of its own that can be killed: a parent that has everything in memory forks them, and
forks anew, on the same port, those that died.

``python worker_farm.py COUNT SPEED PAUSE_S`` prints a line ``PORT PID`` for each that starts."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

SPARE_S = 0.05  # how often the parent looks whether one has died


class Farm:
    """``pids``: of the workers by port; 0: dead at present."""

    def __init__(self, process, count):
        self._process, self.pids, self.killed = process, {}, 0
        self._read(count)
        threading.Thread(target=self._follow, daemon=True).start()

    def _read(self, count):
        for _ in range(count):
            port, pid = map(int, self._process.stdout.readline().split())
            self.pids[port] = pid

    def _follow(self):
        for line in self._process.stdout:
            port, pid = map(int, line.split())
            self.pids[port] = pid

    @property
    def ports(self):
        return sorted(self.pids)

    def kill(self, port):
        os.kill(self.pids[port], signal.SIGKILL)
        self.pids[port] = 0
        self.killed += 1


@contextmanager
def farm(count, speed=20.0, pause_s=0.3):
    """``pause_s``: until a dead one is forked anew; 0: never."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(count), str(speed), str(pause_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Farm(process, count)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def main(count, speed, pause_s):
    from tokenworks.api import load
    from tokenworks.rehearsal.plant import plant

    model = plant(load("laptop")).models[0]
    with socket.create_server(("127.0.0.1", 0)) as first:
        ports = [first.getsockname()[1]]
    while len(ports) < count:
        with socket.create_server(("127.0.0.1", 0)) as more:
            ports.append(more.getsockname()[1])
    born = {fork(model, speed, port): port for port in dict.fromkeys(ports)}
    alive = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), alive.set()), daemon=True).start()
    dead = []
    while not alive.wait(SPARE_S):
        pid = os.waitpid(-1, os.WNOHANG)[0] if born else 0
        if pid:
            dead.append((time.monotonic() + pause_s, born.pop(pid)))
        while pause_s and dead and dead[0][0] <= time.monotonic():
            port = dead.pop(0)[1]
            born[fork(model, speed, port)] = port
    for pid in born:
        os.kill(pid, signal.SIGKILL)


def fork(model, speed, port):
    pid = os.fork()
    if pid == 0:
        asyncio.run(work(model, speed, port))
    return pid


async def work(model, speed, port):
    from tokenworks.serve.emulate.application import EmulatedEngines
    from tokenworks.serve.emulate.clock import Clock
    from tokenworks.serve.emulate.worker import EmulatedWorker
    from tokenworks.serve.http.limits import Limits
    from tokenworks.serve.start import listen

    worker = EmulatedWorker(model, Clock(speed), asyncio.get_running_loop())
    await listen(EmulatedEngines([worker], 0), Limits(), "127.0.0.1", port)
    sys.stdout.write(f"{port} {os.getpid()}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
