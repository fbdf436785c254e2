"""Noise against a running gateway with emulated workers: requests that are mutated, cut and abandoned anywhere.

python benchmarks/gateway_noise.py            100,000 requests (about two minutes)
python benchmarks/gateway_noise.py --quick    2,000

The requests are those of the tests (tests/serve/hostile.py). Afterwards the gateway must work, hold no call, no socket and no
lost event of theirs, have logged no error, and have answered no 5xx of its own.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from gateway_proof import ROOT, Emulating, Found, by_status, emulating, options, tell

sys.path.insert(0, str(ROOT / "tests" / "serve"))
import hostile
from live_gateway import call as asked_once

NOT_SUPPORTED = 505  # an HTTP version that is none of ours: rightly of the 500s
AT_ONCE = 50


def sockets(pid: int) -> int:
    held = [Path(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    return sum(one.is_symlink() and os.readlink(one).startswith("socket:") for one in held)


def gauge(page: bytes, name: str) -> float:
    return sum(
        float(line.split()[-1]) for line in page.decode().splitlines() if line.startswith(name) and line[0] != "#"
    )


async def metrics(port: int) -> bytes:
    return (await asked_once(port, "GET", "/v1/metrics"))[2]


async def settled(port: int, pid: int, before: int, limit_s: float = 90.0) -> list[str]:
    """What is left of the callers once all that they began should be over; connections idle for a while, then close."""
    end_s = time.monotonic() + limit_s
    while True:
        page = await metrics(port)
        left = {name: gauge(page, f"tokenworks_{name}") for name in ("active_requests", "upstream_outstanding")}
        left["sockets"] = max(0, sockets(pid) - before)
        if not any(left.values()) or time.monotonic() > end_s:
            break
        await asyncio.sleep(0.5)
    left["lost events"] = gauge(page, "tokenworks_events_lost_total")
    return [f"after the mutated requests there are {n:g} {name}" for name, n in left.items() if n]


async def stormed(gate: Emulating, count: int) -> Found:
    await asked_once(gate.port, "GET", "/v1/health/live")
    before = sockets(gate.process.pid)
    statuses, silent = await hostile.storm(gate.port, count, 1, AT_ONCE)
    broken = await settled(gate.port, gate.process.pid, before)
    broken += [f"{n} answers with status {s}" for s, n in statuses.items() if s >= 500 and s != NOT_SUPPORTED]
    usual = await asked_once(
        gate.port, "POST", "/v1/chat/completions", b'{"model":"chat","messages":[],"max_tokens":2}'
    )
    if usual[0] != 200:
        broken.append(f"a usual call afterwards was answered with {usual[0]}")
    return {"requests": count, "statuses": dict(sorted(statuses.items())), "silent": silent, "broken": broken}


def measured(count: int) -> Found:
    begin_s = time.perf_counter()
    with emulating("noise") as gate:
        found = asyncio.run(stormed(gate, count))
    found["broken"] += gate.broken
    return found | {"seconds": round(time.perf_counter() - begin_s)}


def lines(f: Found) -> list[str]:
    return [
        f"{f['requests']:,} requests. Answers by status: {by_status(f['statuses'])}. Connections that closed without one: "
        f"{f['silent']:,}. Left behind, hung, or 5xx of ours: {len(f['broken'])}. {f['seconds']} s.",
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--requests", type=int, help="default: 100,000; --quick: 2,000")
    args = parser.parse_args()
    tell("noise", args, measured(args.requests or (2000 if args.quick else 100_000)), lines)


if __name__ == "__main__":
    main()
