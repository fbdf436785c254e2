"""What the load generator itself costs: CPU per request and per streamed chunk, and the rates at which it keeps its schedule.

The server is a process of its own that writes prepared bytes, so that the generator is what is measured. Run it on an idle
machine: `python benchmarks/load_generator.py [--json]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import time
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.bench.address import address_of
from tokenworks.serve.bench.asking import Wanted
from tokenworks.serve.bench.bench import Settings, bench
from tokenworks.serve.bench.demand import demand_of
from tokenworks.spec.demand import Workload

CHUNK = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
    b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":%d}}\n\ndata: [DONE]\n\n'
)
GAP_S = 0.01  # between the chunks of an answer
RATES_S = (100, 200, 400, 800, 1600)
FEW, MANY = 1, 21  # chunks of an answer
BUSY_S = 400  # requests per second


def framed(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readline():
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = await reader.readexactly(length)
            if not body:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"data": [{"id": "m"}]}')
                continue
            tokens = json.loads(body)["max_tokens"]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(tokens):
                if number:
                    await asyncio.sleep(GAP_S)
                writer.write(framed(CHUNK))
            writer.write(framed(LAST % tokens) + b"0\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def serve(listener: socket.socket) -> None:
    async def forever() -> None:
        server = await asyncio.start_server(answer, sock=listener)
        await server.serve_forever()

    asyncio.run(forever())


def benched(url: str, rate_s: float, tokens: int, seconds: float) -> tuple[Any, float]:
    """The result and the CPU seconds of an open loop at equal gaps."""
    load = Workload.model_validate(
        {
            "service": "x",
            "arrivals": {"kind": "poisson", "rate": rate_s},
            "input": {"mean": 100},
            "output": {"mean": tokens},
        }
    )
    demand = demand_of(load, rate_s, seconds, 1, even=True)
    settings = Settings(Wanted(address_of(url), characters_per_token=4.0), demand, most_late_s=3600.0)
    result = bench(settings)
    return result, result.cpu_share * seconds_of(result)


def seconds_of(result: Any) -> float:
    return max(answer.end_s for answer in result.answers)


def measured(url: str, seconds: float) -> dict[str, Any]:
    """A request's CPU from a high rate, where the loop's own beat hardly counts; a chunk's from long and short answers."""
    short, cpu_short_s = benched(url, BUSY_S, FEW, seconds)
    long, cpu_long_s = benched(url, BUSY_S, MANY, seconds)
    count = len(short.answers)
    assert count == len(long.answers)
    per_chunk_us = (cpu_long_s - cpu_short_s) / count / (MANY - FEW) * 1e6
    found: dict[str, Any] = {
        "cpu_us_per_request": cpu_short_s / count * 1e6 - FEW * per_chunk_us,
        "cpu_us_per_chunk": per_chunk_us,
        "rates": [],
    }
    for rate_s in RATES_S:
        result, _ = benched(url, rate_s, 2, seconds)
        f = result.figures
        found["rates"].append(
            {
                "req_s": rate_s,
                "late_p99_ms": f.lateness.p(99) * 1e3,
                "loop_late_p99_ms": f.lag.p(99) * 1e3,
                "core_share": result.cpu_share,
                "failed": f.failed,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    args = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    time.sleep(0.5)
    try:
        found = measured(f"http://127.0.0.1:{listener.getsockname()[1]}", args.seconds)
    except InputError as error:
        raise SystemExit(str(error)) from error
    finally:
        server.terminate()
    if args.json:
        print(json.dumps(found))
        return
    print(f"CPU per request {found['cpu_us_per_request']:.0f} µs, per chunk {found['cpu_us_per_chunk']:.0f} µs")
    for row in found["rates"]:
        print(
            f"{row['req_s']:6} req/s: p99 late {row['late_p99_ms']:.1f} ms, loop {row['loop_late_p99_ms']:.1f} ms, "
            f"{row['core_share']:.0%} of a core"
        )


if __name__ == "__main__":
    main()
