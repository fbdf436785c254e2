"""Our OpenAPI document and noise against a running gateway with emulated workers: schemathesis, then mutated requests.

python benchmarks/gateway_document.py            1,000 calls of each operation, 100,000 mutated requests (about 15 minutes)
python benchmarks/gateway_document.py --quick    20 calls of each, 2,000 mutated

Half of the calls are drawn as the document allows them, half as it forbids. A drawn name is no model's, so every second call
gets the name of one, and every fourth a message that somebody may have said (the document leaves messages open); limits of
tokens are brought below 65, for an emulated worker takes its time for every token. Mutated requests are those of the tests
(tests/serve/hostile.py), cut and abandoned anywhere. Afterwards the gateway must work, hold no call, no socket and no lost
event of theirs, have logged no error, and have answered no 5xx of its own.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import schemathesis
from gateway_proof import ROOT, Found, folder, options, serving, tell
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup

sys.path.insert(0, str(ROOT / "tests" / "serve"))
import hostile
from live_gateway import call as asked_once

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
STRICT = "negative_data_rejection"
TRANSLATED = ("/v1/responses", "/v1/messages")  # of these the gateway checks every field
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
MOST_TOKENS = 64
PACE = ("--emulate", "--speed", "10", "--streams", "4")
NOT_SUPPORTED = 505  # an HTTP version that is none of ours: rightly of the 500s
AT_ONCE = 50  # mutated requests


def tamed(body: Any, number: int) -> None:
    """A call that an emulated worker answers soon, if it is valid at all."""
    if not isinstance(body, dict):
        return
    if isinstance(body.get("model"), str) and number % 2:
        body["model"] = "chat"
    for name in LIMITS:
        if isinstance(limit := body.get(name), int) and limit > MOST_TOKENS:
            body[name] = limit % MOST_TOKENS + 1
    if not any(name in body for name in LIMITS) and "messages" in body:
        body["max_tokens"] = 8
    if number % 4 == 1 and isinstance(body.get("messages"), list):
        body["messages"] = hostile.SAID


def walked(operation: Any, mode: GenerationMode, count: int, base: str, statuses: Counter[int]) -> list[str]:
    """So many calls of an operation. What it did that the document does not say."""
    wanted = CHECKS + [STRICT] * (operation.path in TRANSLATED)
    chosen = checks.CHECKS.get_by_names(wanted)
    numbers = iter(range(10 * count))

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def every(case: Any) -> None:
        tamed(case.body, next(numbers))
        answer = case.call(base_url=base, timeout=30)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=chosen)

    try:
        every()
    except hypothesis.errors.Unsatisfiable:
        return []  # an operation without anything that could be wrong
    except (Exception, FailureGroup) as error:  # noqa: BLE001 - a call without an answer is as bad as a wrong one
        return [f"{operation.method.upper()} {operation.path}, {mode.value}: {str(error)[:1500]}"]
    return []


def documented(port: int, count: int) -> tuple[dict[str, Counter[int]], list[str]]:
    base = f"http://127.0.0.1:{port}"
    checks.load_all_checks()
    found, broken = dict[str, Counter[int]](), list[str]()
    document = json.loads(urllib.request.urlopen(f"{base}/openapi.json", timeout=10).read())
    for made in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = made.ok()
        statuses = found.setdefault(f"{operation.method.upper()} {operation.path}", Counter())
        print(f"{operation.method.upper()} {operation.path} …", file=sys.stderr, flush=True)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            broken += walked(operation, mode, max(1, count // 2), base, statuses)
    for path in ("/v1/chat/completions", "/v1/completions", *TRANSLATED):
        if count >= 100 and not {200, 400, 404} <= set(found[f"POST {path}"]):
            broken.append(
                f"{path} answered {sorted(found[f'POST {path}'])} only: neither all kinds of success nor of refusal"
            )
    return found, broken


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


async def stormed(port: int, process: subprocess.Popen[bytes], count: int) -> tuple[Found, list[str]]:
    await asked_once(port, "GET", "/v1/health/live")
    before = sockets(process.pid)
    statuses, silent = await hostile.storm(port, count, 1, AT_ONCE)
    broken = await settled(port, process.pid, before)
    broken += [f"{n} answers with status {s}" for s, n in statuses.items() if s >= 500 and s != NOT_SUPPORTED]
    usual = await asked_once(port, "POST", "/v1/chat/completions", b'{"model":"chat","messages":[],"max_tokens":2}')
    if process.poll() is not None or usual[0] != 200:
        broken.append(f"a usual call afterwards was answered with {usual[0]}")
    return {"statuses": dict(sorted(statuses.items())), "silent": silent}, broken


def measured(args: argparse.Namespace) -> Found:
    begin_s = time.perf_counter()
    with folder("document") as place:
        (place / "laptop.yaml").write_text((ROOT / "examples" / "laptop.yaml").read_text())
        with serving(place / "laptop.yaml", *PACE) as (process, port):
            by_path, broken = documented(port, args.calls)
            noise, worse = asyncio.run(stormed(port, process, args.fuzz))
        said = (place / "serve.log").read_text()
    if process.returncode != 0:
        broken.append(f"the gateway ended with {process.returncode}")
    if "Traceback" in said or "ERROR" in said:
        broken.append(f"the gateway's log: {said[-1500:]}")
    return {
        "calls": args.calls, "by_operation": {name: dict(sorted(c.items())) for name, c in by_path.items()},
        "fuzzed": args.fuzz, "fuzz_statuses": noise["statuses"], "fuzz_silent": noise["silent"],
        "seconds": round(time.perf_counter() - begin_s), "broken": [*broken, *worse],
    }  # fmt: skip


def counted(statuses: dict[int, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in statuses.items())


def lines(f: Found) -> list[str]:
    return [
        "| operation | answers by status |",
        "|---|---|",
        *(f"| {name} | {counted(statuses)} |" for name, statuses in f["by_operation"].items()),
        f"| {f['fuzzed']:,} mutated requests | {counted(f['fuzz_statuses'])}; without one: {f['fuzz_silent']:,} connections |",
        "",
        f"Against the document, left behind, or of ours: {len(f['broken'])}. {f['seconds']} s.",
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, help="of each operation (default: 1,000; --quick: 20)")
    parser.add_argument("--fuzz", type=int, help="mutated requests (default: 100,000; --quick: 2,000)")
    args = parser.parse_args()
    args.calls, args.fuzz = args.calls or (20 if args.quick else 1000), args.fuzz or (2000 if args.quick else 100_000)
    tell("document", args, measured(args), lines)


if __name__ == "__main__":
    main()
