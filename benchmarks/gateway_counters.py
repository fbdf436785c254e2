"""The ledger against a real engine's own counters: llama.cpp's server behind the gateway, a share of the callers leaves.

python benchmarks/gateway_counters.py            10,000 calls, one in ten abandoned (about five minutes)
python benchmarks/gateway_counters.py --quick    400 calls

First half: nobody leaves, and the ledger's sums are the engine's counters. Second half: the abandoned calls; the counters then
hold also what the engine made for callers who had left, so they bound the ledger's sums from above.

Every call is compared: an answer that came whole with what the engine states in it, an abandoned one with the last thing that
the engine had said of it when the gateway let go. Sums are compared with the engine's own page of metrics. So that the engine
says in each chunk what it has made, calls ask for ``timings_per_token``; what reached the gateway is written down below it,
where its connections read.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_proof import ROOT, Found, folder, options, tell

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.http.client import ClientConnection
from tokenworks.serve.http.loop import run_loop
from tokenworks.serve.start import gateway

sys.path.insert(0, str(ROOT / "tests" / "serve"))
import tiny_engine
import tiny_model

COUNTS = ("prompt_n", "cache_n", "predicted_n")  # of the engine's ``timings``
PATHS = ("/v1/chat/completions", "/v1/completions")
CALLERS = 24  # at a time; the engine works on four
LEAVES_WITHIN_S = 0.002  # of the piece after which a caller leaves: anywhere in the engine's next steps


@dataclass
class Call:
    """What is asked, when its caller leaves (after so many pieces; None: never), and what he saw."""

    number: int
    path: str
    streams: bool
    prompt: str
    most: int
    leaves: int | None
    late_s: float
    status: int = 0
    whole: bool = False

    def request(self, port: int) -> bytes:
        body: dict[str, Any] = {"model": "chat", "max_tokens": self.most, "stream": self.streams, "temperature": 0}
        body["timings_per_token"] = True
        if self.path == PATHS[0]:
            body["messages"] = [{"role": "user", "content": self.prompt}]
        else:
            body["prompt"] = self.prompt
        data = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nX-Tokenworks-Run: {self.number}\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def drawn(count: int, share: float, dice: random.Random, first: int) -> list[Call]:
    """Calls of both paths, three in four of them streams; who leaves does so before the first piece as well as late."""
    calls = []
    for number in range(first, first + count):
        streams, most, gone = dice.random() < 0.75, dice.randint(4, 30), dice.random() < share
        leaves = dice.randrange(most) if gone and streams else 0 if gone else None
        prompt = f"[{number}] {'tell me more ' * dice.randint(1, 4)}"
        late_s = dice.uniform(0.0, LEAVES_WITHIN_S if leaves else 10 * LEAVES_WITHIN_S)
        calls.append(Call(number, dice.choice(PATHS), streams, prompt, most, leaves, late_s))
    return calls


class Heard:
    """What reached the gateway from the engine, call by call: ``ClientConnection`` tells it before the gateway hears it."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._bytes: dict[int, bytearray] = {}

    def asked(self, connection: ClientConnection, payload: bytes) -> None:
        if found := re.search(rb"\[(\d+)\] tell", payload):
            self._numbers[id(connection)] = number = int(found[1])
            self._bytes[number] = bytearray()

    def came(self, connection: ClientConnection, data: bytes) -> None:
        if id(connection) in self._numbers:
            self._bytes[self._numbers[id(connection)]] += data

    def last(self, call: Call) -> dict[str, int] | None:
        """The engine's last report on a call; None where it had not spoken yet. Of a stream whole events alone count."""
        data = bytes(self._bytes.get(call.number, b""))
        if call.streams:
            data = data[: data.rfind(b"\n\n") + 2] if b"\n\n" in data else b""
        reports = re.findall(rb'"timings":(\{[^}]*\})', data)
        return {name: int(json.loads(reports[-1]).get(name, 0)) for name in COUNTS} if reports else None

    def ended(self, call: Call) -> bool:
        """Whether a stream's end had reached the gateway."""
        return b"data: [DONE]\n\n" in self._bytes.get(call.number, b"")


@contextmanager
def listening_in() -> Iterator[Heard]:
    """The gateway's connections to engines tell what they read."""
    heard, ask, received = Heard(), ClientConnection.ask, ClientConnection.data_received

    def asks(self: ClientConnection, payload: bytes, exchange: Any) -> None:
        heard.asked(self, payload)
        ask(self, payload, exchange)

    def receives(self: ClientConnection, data: bytes) -> None:
        heard.came(self, data)
        received(self, data)

    ClientConnection.ask, ClientConnection.data_received = asks, receives  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        ClientConnection.ask, ClientConnection.data_received = ask, received  # type: ignore[method-assign]


@contextmanager
def engine(place: Path) -> Iterator[str]:
    """llama.cpp's server over the tests' model, for as long as it takes. Its address."""
    tiny_model.write(place / "tiny.gguf")
    process = subprocess.Popen(
        [sys.executable, tiny_engine.__file__, str(place / "tiny.gguf")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        if not address.startswith("http://"):
            raise SystemExit(f"llama.cpp's server did not start; it said {address!r}")
        yield address
    finally:
        process.kill()
        process.wait()


async def made(call: Call, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(call.request(port))
        if call.leaves is not None:
            await leave(call, reader)
            return
        data = await reader.read()
        call.status = int(data[9:12]) if data.startswith(b"HTTP/1.1 ") else 0
        call.whole = call.status == 200 and (data.endswith(b"0\r\n\r\n") or not call.streams)
    finally:
        writer.transport.abort() if call.leaves is not None else writer.close()


async def leave(call: Call, reader: asyncio.StreamReader) -> None:
    """Reads the pieces that the caller wants to see and a moment longer."""
    seen = 0
    while seen < call.leaves:
        line = await reader.readline()
        if not line:
            raise SystemExit(f"call {call.number}: the answer ended before its caller left")
        seen += line.startswith(b"data: {") and (b'"content":"' in line or b'"text":"' in line)
    await asyncio.sleep(call.late_s)


async def all_made(calls: list[Call], port: int) -> None:
    left = iter(calls)

    async def caller() -> None:
        for call in left:
            await made(call, port)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def quiet(address: str, limit_s: float = 30.0) -> tuple[int, int]:
    """The engine's counters once it works on nothing: (prompt tokens, generated tokens)."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        prompts, generated, busy = await asyncio.to_thread(tiny_engine.counters, address)
        if not busy:
            return prompts, generated
        await asyncio.sleep(0.05)
    raise SystemExit(f"the engine still works on what was abandoned, {limit_s:g} s later")


async def played(calls: list[Call], address: str, place: Path) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """The ledger's events, and what the engine's counters grew by: (prompt tokens, generated tokens)."""
    rules = {"upstreams": [{"service": "chat", "url": address, "model": "tiny"}], "drain": "5 s"}
    factory = load("laptop").replace("serve", rules)
    before = await quiet(address)
    with Ledger.open(place / "ledger.db") as ledger:
        services = services_of(factory, upstreams_of(factory))
        async with gateway(factory, services, ledger, None, "127.0.0.1", 0) as listening:
            await all_made(calls, listening.port)
            after = await quiet(address)
        events = ledger.usage_table().to_pylist()
    return events, (after[0] - before[0], after[1] - before[1])


@dataclass
class Account:
    """Calls against events: how many of each kind, their tokens, and what differs."""

    finished: int = 0
    prompt_tokens: int = 0  # of finished calls, by the ledger
    generated_tokens: int = 0
    partial: int = 0  # abandoned after the engine had said something of them
    partial_prompt_tokens: int = 0  # by its last words
    partial_generated_tokens: int = 0
    too_late: int = 0  # of the finished: the engine was done when the caller left
    missing: int = 0  # abandoned before
    unasked: int = 0  # abandoned before the engine was asked: no event
    engine_prompt_tokens: int = 0  # by its counters
    engine_generated_tokens: int = 0
    broken: list[str] = field(default_factory=list)


def accounted(calls: list[Call], events: list[dict[str, Any]], heard: Heard) -> Account:
    """Each call beside its event."""
    found = Account()
    by_run: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_run.setdefault(event["run"], []).append(event)
    for call in calls:
        mine = by_run.pop(str(call.number), [])
        report = heard.last(call)
        if len(mine) > 1:
            found.broken.append(f"call {call.number} has {len(mine)} events")
        elif call.leaves is None or heard.ended(call):
            finished(call, mine, report, found)
            found.too_late += call.leaves is not None
        else:
            abandoned(call, mine, report, found)
    found.broken += [f"an event of nobody's call: run {run}" for run in by_run]
    return found


def finished(call: Call, events: list[dict[str, Any]], report: dict[str, int] | None, found: Account) -> None:
    if not (call.whole or call.leaves is not None) or not events or report is None:
        found.broken.append(f"call {call.number}: status {call.status}, {len(events)} events, the engine said {report}")
        return
    (event,) = events
    prompt, generated = (event["input_fresh"] or 0) + (event["cache_read"] or 0), event["output_visible"]
    stands = (event["usage_status"], event["usage_source"], prompt, generated)
    wants = ("final", "engine", report["prompt_n"] + report["cache_n"], report["predicted_n"])
    if stands != wants:
        found.broken.append(f"call {call.number}: the ledger has {stands}, the engine said {wants}")
    found.finished += 1
    found.prompt_tokens += prompt
    found.generated_tokens += generated


def abandoned(call: Call, events: list[dict[str, Any]], report: dict[str, int] | None, found: Account) -> None:
    if report is not None:
        found.partial_prompt_tokens += report["prompt_n"] + report["cache_n"]
        found.partial_generated_tokens += report["predicted_n"]
    if not events:
        found.unasked += 1
        if report is not None:
            found.broken.append(f"call {call.number}: the engine said {report}, and there is no event")
        return
    (event,) = events
    stands = (event["usage_status"], event["output_visible"])
    wants = ("missing", None) if report is None else ("partial", report["predicted_n"])
    if stands != wants:
        found.broken.append(
            f"call {call.number}, abandoned: the ledger has {stands}, the engine's last word was {wants}"
        )
    found.missing += report is None
    found.partial += report is not None


def against_counters(found: Account) -> None:
    """Equal where nobody left; else between what the engine is known to have made and no limit."""
    for what in ("prompt_tokens", "generated_tokens"):
        booked, engine = getattr(found, what), getattr(found, f"engine_{what}")
        least = booked + getattr(found, f"partial_{what}")
        if engine < least or (engine != least and not found.partial + found.missing):
            found.broken.append(f"{what}: {least:,} in the ledger, {engine:,} by the engine's counter")


def half(calls: list[Call], address: str, place: Path, heard: Heard) -> Account:
    place.mkdir()
    events, (prompt, generated) = run_loop(played(calls, address, place))
    found = accounted(calls, events, heard)
    found.engine_prompt_tokens, found.engine_generated_tokens = prompt, generated
    against_counters(found)
    return found


def measured(count: int, share: float, seed: int) -> Found:
    dice, start_s = random.Random(seed), time.perf_counter()
    stay, go = drawn(count // 2, 0.0, dice, 0), drawn(count - count // 2, 2 * share, dice, count // 2)
    with folder("counters") as place, engine(place) as address, listening_in() as heard:
        halves = [half(calls, address, place / name, heard) for calls, name in ((stay, "stay"), (go, "go"))]
    broken = [line for one in halves for line in one.broken]
    shown = [{name: n for name, n in vars(one).items() if name != "broken"} for one in halves]
    return {
        "calls": count, "seed": seed, "seconds": round(time.perf_counter() - start_s), "nobody_leaves": shown[0],
        "some_leave": shown[1], "different": len(broken), "broken": broken[:20],
    }  # fmt: skip


def lines(f: Found) -> list[str]:
    stay, go = f["nobody_leaves"], f["some_leave"]
    pair = lambda one, where: f"{one[f'{where}prompt_tokens']:,} + {one[f'{where}generated_tokens']:,}"  # noqa: E731
    return [
        "| calls | how many | tokens by the ledger: prompts + answers | by the engine |",
        "|---|---:|---:|---|",
        f"| nobody leaves: finished | {stay['finished']:,} | {pair(stay, '')} | {pair(stay, 'engine_')} by its counters, "
        "and each call as its answer states it |",
        f"| some leave: finished | {go['finished']:,} | {pair(go, '')} | each call as its answer states it |",
        f"| … abandoned after the engine had spoken: `partial` | {go['partial']:,} | {go['partial_generated_tokens']:,} "
        f"generated | {go['partial_generated_tokens']:,} by its last words, call by call |",
        f"| … before: `missing` | {go['missing']:,} | unknown | it had said nothing |",
        f"| … after its end, the answer on its way: `final` | {go['too_late']:,} | among the finished | |",
        f"| … before it was asked | {go['unasked']:,} | no event | — |",
        "",
        f"Calls and sums that differ: {f['different']}. By its counters the engine read and made {pair(go, 'engine_')} tokens "
        "while some left: above the sums, for it goes on a little for those who have gone.",
        f"Seed {f['seed']}, {f['seconds']} s.",
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, help="default: 10,000; --quick: 400")
    parser.add_argument("--share", type=float, default=0.1, help="of the calls that are abandoned")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tell("counters", args, measured(args.calls or (400 if args.quick else 10_000), args.share, args.seed), lines)


if __name__ == "__main__":
    main()
