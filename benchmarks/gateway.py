"""CPU and added latency of the gateway, with nginx (and LiteLLM, where installed) as plain proxies beside it.

python benchmarks/gateway.py --json            all figures (about a minute and a half)
python benchmarks/gateway.py --requests 2000 --turns 1   a shorter look
python benchmarks/gateway.py --litellm FOLDER/bin/litellm   with LiteLLM from an environment of its own
python benchmarks/gateway.py --bare            the gateway without keys and budgets

Client, proxies and a mock engine that answers at once share the machine, one proxy at a time. CPU is the proxy's own, all
its threads and processes, from the kernel's scheduler. All proxies are given the same requests at the same rate; beside it
(``…_saturated``) stands what a request costs where clients never pause, which is another rate for each. The gateway knows the
caller by a key, reserves each call's bound in a budget, chooses one of two upstreams and meters every request durably; the
ledger has a process of its own (``--processes 0``: it has not), whose CPU is in ``with_ledger_cpu_us_per_request``. LiteLLM
runs without its PostgreSQL spend log, which needs Prisma's query engine, a binary that no package registry carries
(docs/serve-proof.md): with the log it costs more.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tokenworks.serve.access import keys
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.listening import listen
from tokenworks.serve.http.loop import run_loop
from tokenworks.serve.http.pool import Address, Patience, Pool
from tokenworks.serve.http.sweep import Sweep

CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1750000000,"model":"mock",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}\n\n'
)
USAGE = b'"usage":{"prompt_tokens":1024,"completion_tokens":%d,"total_tokens":%d}'
LAST = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],%b}\n\n'
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1750000000,"model":"mock","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + b"word " * 64 + b'"},"finish_reason":"stop"}],%b}'
)
PROMPT = "All work and no play makes Jack a dull boy. " * 24  # about 1 kB
FACTORY = """
factory: bench
systems: [{{id: box, system: laptop-rtx-4090}}]
services: [{{name: mock, model: llama-3.1-8b, precision: fp8}}]
workload: [{{service: mock, trace: azure-2023-conversation, scale: 10% of sustainable}}]
serve:
  upstreams: [{{service: mock, url: "http://127.0.0.1:{port}"}}, {{service: mock, url: "http://127.0.0.2:{port}"}}]
"""
ANY_KEY = "sk-x"
BUDGET = """  budgets: [{name: bench, tenant: acme, tokens: 1000000000000}]
  bounds: [{service: mock, template_tokens: 64}]
"""
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 1000000;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 512; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://engine; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""
LITELLM = """
model_list: [{{model_name: mock, litellm_params: {{model: openai/mock, api_base: "http://127.0.0.1:{engine}/v1", api_key: x}}}}]
"""


class Engine:
    """Answers at once; streams its chunks one by one, ``X-Pause-Ms`` apart."""

    draining = False

    def handle(self, request, connection):
        if request.path != b"/v1/chat/completions":
            connection.respond(200, b"{}")
            return
        body = json.loads(request.body)
        count = body.get("max_tokens", 64)
        usage = USAGE % (count, 1024 + count)
        if not body.get("stream"):
            connection.respond(200, ANSWER % usage)
            return
        connection.begin(200, b"text/event-stream")
        asyncio.get_running_loop().create_task(self.stream(connection, count, body.get("top_k", 0) / 1e3, usage))

    async def stream(self, connection, count, pause_s, usage):
        for _ in range(count):
            connection.chunk(CHUNK)
            await asyncio.sleep(pause_s)
        connection.chunk(LAST % usage)
        connection.finish(b"data: [DONE]\n\n")


async def engine(port: int) -> None:
    for host in ("127.0.0.1", "127.0.0.2"):
        await listen(Engine(), Limits(), host, port)
    await asyncio.Event().wait()


@dataclass
class Proxy:
    name: str
    port: int
    process: subprocess.Popen
    key: str
    per_request_us: float | None = None
    per_chunk_us: float | None = None
    saturated_us: float | None = None
    whole_us: float | None = None

    def cpu_s(self) -> float:
        """Of the process that proxies, all threads: where a supervisor started several, of its gateways."""
        pids = family(self.process.pid)
        gateways = [pid for pid in pids if b"\0gateway-" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return sum(thread_cpu_s(pid) for pid in gateways or pids)

    def whole_cpu_s(self) -> float:
        """… and of what it needs beside it: the ledger process, the supervisor."""
        return sum(thread_cpu_s(pid) for pid in family(self.process.pid))


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in family(int(child)))]


def thread_cpu_s(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Call:
    """One request of the load, as the client's protocol wants it; done at the end of its answer."""

    def __init__(self, loop):
        self.done = loop.create_future()
        self.first_s = 0.0
        self.status = 0

    def answer_head(self, status, headers):
        self.status = status

    def answer_body(self, data):
        self.first_s = self.first_s or time.perf_counter()

    def answer_end(self):
        if not self.done.done():
            self.done.set_result(None)

    def answer_broken(self, reason, kind):
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))


def payload(port: int, key: str, **more) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": PROMPT}], "model": "mock", **more}).encode()
    lines = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{lines}Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Load:
    """A client over kept connections."""

    def __init__(self, port: int):
        self.loop = asyncio.get_running_loop()
        self.sweep = Sweep(self.loop)
        self.pool = Pool(Address("127.0.0.1", port, False, ""), Patience(), self.sweep, self.loop)
        self.port = port

    async def one(self, data: bytes) -> tuple[float, float]:
        """(seconds to the first byte of the answer, to its end)."""
        call, start = Call(self.loop), time.perf_counter()
        self.pool.ask(data, call, lambda _: None)
        await call.done
        assert call.status == 200, call.status
        return call.first_s - start, time.perf_counter() - start

    async def closed(self, clients: int, count: int, data: bytes) -> float:
        """Requests per second of so many clients, each asking again at once."""
        left = iter(range(count))

        async def client():
            for _ in left:
                await self.one(data)

        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return count / (time.perf_counter() - start)

    async def opened(self, rate: float, count: int, data: bytes) -> tuple[list[float], list[float]]:
        """TTFT and end-to-end seconds at a constant rate."""
        tasks, start = [], time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            tasks.append(self.loop.create_task(self.one(data)))
        done = await asyncio.gather(*tasks)
        return sorted(d[0] for d in done), sorted(d[1] for d in done)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, path: str, limit_s: float = 90.0) -> None:
    end = time.time() + limit_s
    while time.time() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).read()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing answers at port {port}")


def start(command: list[str], port: int, path: str, folder: Path, **more) -> subprocess.Popen:
    with open(folder / f"{port}.log", "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **more)
    wait_for(port, path)
    return process


def start_proxies(folder: Path, engine_port: int, litellm: str | None, processes: int, bare: bool) -> list[Proxy]:
    proxies = []
    port = free_port()
    (folder / "bench.yaml").write_text(FACTORY.format(port=engine_port) + ("" if bare else BUDGET))
    command = [sys.executable, "-m", "tokenworks", "serve", "bench.yaml", "--port", str(port)]
    command += ["--processes", str(processes)] if processes else []
    key = ANY_KEY
    if not bare:
        command += ["--keys", "keys.json"]
        _, key = keys.add(folder / "keys.json", "acme")
    proxies.append(Proxy("", port, start(command, port, "/v1/health/live", folder), key))
    if nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        port = free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, engine=engine_port, port=port))
        proxies.append(
            Proxy("nginx_", port, start([nginx, "-c", str(folder / "nginx.conf")], port, "/", folder), ANY_KEY)
        )
    if litellm:
        port = free_port()
        (folder / "litellm.yaml").write_text(LITELLM.format(engine=engine_port))
        allowed = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"  # it asks for no key here
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", allowed: "true"}
        command = [litellm, "--config", "litellm.yaml", "--port", str(port), "--host", "127.0.0.1"]
        proxies.append(
            Proxy("litellm_", port, start(command, port, "/health/liveliness", folder, env=environment), ANY_KEY)
        )
    return proxies


async def cpu(proxy: Proxy, args) -> None:
    """CPU per request and per chunk, the least of the turns so far."""
    load, slow = Load(proxy.port), proxy.name == "litellm_"
    plain = payload(proxy.port, proxy.key)
    rate, requests, streams = (
        (args.rate / 100, args.requests // 100, 8) if slow else (args.rate, args.requests, args.streams)
    )
    await load.closed(args.clients, 20 if slow else 500, plain)

    async def spent_us(work) -> float:
        before = proxy.cpu_s()
        await work
        return (proxy.cpu_s() - before) * 1e6

    whole_s = proxy.whole_cpu_s()
    per_request = await spent_us(load.opened(rate, requests, plain)) / requests
    whole = (proxy.whole_cpu_s() - whole_s) * 1e6 / requests
    saturated = await spent_us(load.closed(args.clients, requests, plain)) / requests
    streamed = payload(proxy.port, proxy.key, stream=True, max_tokens=args.chunks, top_k=args.pause_ms)
    spent = await spent_us(load.closed(streams, streams, streamed))
    per_chunk = (spent - streams * per_request) / (streams * args.chunks)
    least = lambda old, new: new if old is None else min(old, new)  # noqa: E731
    proxy.per_request_us = least(proxy.per_request_us, per_request)
    proxy.whole_us = least(proxy.whole_us, whole)
    proxy.saturated_us = least(proxy.saturated_us, saturated)
    proxy.per_chunk_us = least(proxy.per_chunk_us, per_chunk)
    load.pool.close()


async def latency(gateway: Proxy, engine_port: int, args) -> dict[str, float]:
    """What the gateway adds to the engine alone, at half of the load that it takes."""
    through, direct = Load(gateway.port), Load(engine_port)
    most = await through.closed(args.clients, args.requests, payload(gateway.port, gateway.key))
    stream = {"stream": True, "max_tokens": 8}
    busiest = await through.closed(args.clients, args.requests // 4, payload(gateway.port, gateway.key, **stream))
    count = max(1000, args.requests // 4)
    with_it = await through.opened(busiest / 2, count, payload(gateway.port, gateway.key, **stream))
    without = await direct.opened(busiest / 2, count, payload(engine_port, ANY_KEY, **stream))
    at = lambda values, share: values[int(share * (len(values) - 1))] * 1e3  # noqa: E731
    return {
        "added_ttft_p50_ms": round(at(with_it[0], 0.5) - at(without[0], 0.5), 3),
        "added_ttft_p99_ms": round(at(with_it[0], 0.99) - at(without[0], 0.99), 3),
        "added_e2e_p50_ms": round(at(with_it[1], 0.5) - at(without[1], 0.5), 3),
        "requests_s": round(most),
        "half_load_streams_s": round(busiest / 2),
    }


async def measure(proxies: list[Proxy], engine_port: int, args) -> dict:
    for _ in range(args.turns):
        for proxy in proxies:
            await cpu(proxy, args)
    found: dict = {}
    by_name = {p.name: p for p in proxies}
    for name in ("", "nginx_", "litellm_"):
        proxy = by_name.get(name)
        figures = (proxy.per_request_us, proxy.per_chunk_us, proxy.saturated_us) if proxy else (None, None, None)
        for key, value in zip(("request", "chunk", "request_saturated"), figures, strict=True):
            found[f"{name}cpu_us_per_{key}"] = None if value is None else round(value, 1)
    found["with_ledger_cpu_us_per_request"] = round(by_name[""].whole_us, 1)
    return found | await latency(by_name[""], engine_port, args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument(
        "--processes", type=int, default=1, help="gateway processes beside one for the ledger; 0: all in one process"
    )
    parser.add_argument("--clients", type=int, default=64, help="that ask without a pause")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests per second that all are given")
    parser.add_argument("--streams", type=int, default=64, help="at a time")
    parser.add_argument("--chunks", type=int, default=200, help="of a stream")
    parser.add_argument("--pause-ms", type=int, default=20, help="between chunks")
    parser.add_argument(
        "--turns", type=int, default=3, help="the least of each figure counts: others use the machine too"
    )
    parser.add_argument("--bare", action="store_true", help="the gateway without keys and budgets")
    parser.add_argument(
        "--litellm", default=shutil.which("litellm"), help="its command, from an environment of its own"
    )
    parser.add_argument("--engine", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        run_loop(engine(args.engine))
        return
    folder, processes, engine_port = Path(tempfile.mkdtemp(prefix="gateway-")), [], free_port()
    folder.chmod(0o755)  # nginx's worker is another user
    try:
        processes.append(start([sys.executable, __file__, "--engine", str(engine_port)], engine_port, "/", folder))
        proxies = start_proxies(folder, engine_port, args.litellm, args.processes, args.bare)
        processes += [p.process for p in proxies]
        found = run_loop(measure(proxies, engine_port, args))
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(folder)
    print(json.dumps(found) if args.json else "\n".join(f"{name:26} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
