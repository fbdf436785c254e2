"""Many slow streams for a long time: the memory of the gateway over time, a stream's part of it, the largest number that holds.

python benchmarks/gateway_streams.py            2,000 streams at 2 tokens/s for ten minutes, then more and more (about 18 minutes)
python benchmarks/gateway_streams.py --quick    200 streams for 30 s

Each caller asks for an answer of one to three minutes, reads it and asks again, so that what an ended answer left behind would
show. Memory is the gateway process's own (RSS; PSS beside it), every few seconds; the ledger's process is shown apart. *Flat*:
the line through the samples of the last four fifths rises by less than 2% of the memory over the whole time. A number *holds*
where no answer fails, pieces come at 98% of the pace at least and one in a hundred at most comes a whole pause too late.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gateway import ANY_KEY, FACTORY, Call, Load, family, free_port, payload, start, thread_cpu_s
from gateway_proof import Found, folder, options, serving, tell

from tokenworks.serve.http.loop import run_loop
from tokenworks.serve.http.pool import Address, Patience, Pool

TOKENS_S = 2.0  # of each stream
PAUSE_S = 1 / TOKENS_S
MOST_KB = 20.0  # a stream
FLAT_SHARE = 0.02  # of the memory, over the whole time
STEADY_FROM = 0.2  # of the time: before it buffers and arenas find their size
MOST_STREAMS = 9500  # each is two files of the gateway's, which may open 20,000
GROWS = 1.25  # to the next number


class Reading(Call):
    """A stream that is read; how far apart its pieces came is counted in milliseconds."""

    def __init__(self, crowd: "Crowd"):
        super().__init__(crowd.load.loop)
        self._crowd, self._last_s = crowd, 0.0

    def answer_body(self, data: bytes) -> None:
        now_s, pieces, gaps_ms = time.perf_counter(), data.count(b'"content":'), self._crowd.gaps_ms
        self._crowd.pieces += pieces
        if pieces and self._last_s:
            gaps_ms[min(len(gaps_ms) - 1, int((now_s - self._last_s) * 1e3))] += 1
        self._last_s = now_s if pieces else self._last_s


@dataclass
class Crowd:
    """Callers with one stream each, who ask again until it is over."""

    port: int
    shortest: int  # tokens of an answer
    longest: int
    gaps_ms: np.ndarray = field(default_factory=lambda: np.zeros(20_000, np.int64))
    pieces: int = 0
    open: int = 0
    ended: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self.load, self._dice = Load(self.port), random.Random(1)
        patience = Patience(connect_s=60.0, most_idle=MOST_STREAMS)
        self.load.pool = Pool(
            Address("127.0.0.1", self.port, False, ""), patience, self.load.sweep, self.load.loop
        )  # many connect at a time
        self._tasks: list[asyncio.Task[None]] = []

    def grow(self, streams: int, over_s: float) -> None:
        """To so many, evenly over a time."""
        for number in range(more := streams - len(self._tasks)):
            self._tasks.append(self.load.loop.create_task(self._ask_again(over_s * number / more)))

    async def _ask_again(self, first_s: float) -> None:
        await asyncio.sleep(first_s)
        while True:
            tokens = self._dice.randint(self.shortest, self.longest)
            call = Reading(self)
            data = payload(self.port, ANY_KEY, stream=True, max_tokens=tokens, top_k=round(PAUSE_S * 1e3))
            self.open += 1
            try:
                self.load.pool.ask(data, call, lambda _: None)
                await call.done
                self.failed += call.status != 200
                self.ended += 1
            except RuntimeError:
                self.failed += 1
                await asyncio.sleep(PAUSE_S)
            finally:
                self.open -= 1

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.load.pool.close()

    def count_anew(self) -> None:
        self.gaps_ms[:], self.pieces = 0, 0

    def late_ms(self, share: float) -> float:
        """The gap that this share of all gaps does not exceed."""
        return float(np.searchsorted(np.cumsum(self.gaps_ms), share * self.gaps_ms.sum()))


@dataclass(frozen=True)
class Sample:
    """Of the gateway process, and of the one that owns the ledger."""

    at_s: float
    rss_kb: int
    pss_kb: int
    ledger_rss_kb: int
    streams: int


def memory_kb(pid: int) -> tuple[int, int]:
    """(RSS, PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:] if line.endswith("kB")}
    return found["Rss"], found["Pss"]


def roles(supervisor: int) -> dict[str, int]:
    """Process ids by name: gateway-0, ledger."""
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in family(supervisor)[1:]}
    return {words[-2].decode(): pid for pid, words in names.items() if len(words) > 1}


def slope(at_s: list[float], values: list[float]) -> float:
    """Of the least squares line, per second.

    >>> slope([0.0, 1.0, 2.0], [5.0, 7.0, 9.0])
    2.0
    """
    return round(float(np.polyfit(at_s, values, 1)[0]), 9)


async def sampled(crowd: Crowd, pids: dict[str, int], seconds: float, every_s: float) -> list[Sample]:
    found, begin_s = list[Sample](), time.monotonic()
    while (at_s := time.monotonic() - begin_s) < seconds:
        rss, pss = memory_kb(pids["gateway-0"])
        found.append(Sample(round(at_s, 1), rss, pss, memory_kb(pids["ledger"])[0], crowd.open))
        await asyncio.sleep(every_s)
    return found


async def held(crowd: Crowd, pids: dict[str, int], streams: int, ramp_s: float, seconds: float) -> Found:
    """Whether so many hold, and who works how much for it."""
    crowd.grow(streams, ramp_s)
    await asyncio.sleep(ramp_s + 2.0)
    failed = crowd.failed
    crowd.count_anew()
    before, begin_s = {name: thread_cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    await asyncio.sleep(seconds)
    lasted_s = time.monotonic() - begin_s
    shares = {name: round((thread_cpu_s(pid) - before[name]) / lasted_s, 2) for name, pid in pids.items()}
    rate, p99_ms = crowd.pieces / lasted_s / streams, crowd.late_ms(0.99)
    holds = crowd.failed == failed and rate >= 0.98 * TOKENS_S and p99_ms <= 2 * PAUSE_S * 1e3
    return {
        "streams": streams, "holds": holds, "tokens_s_stream": round(rate, 3), "gap_p99_ms": p99_ms,
        "failed": crowd.failed - failed, "cores": shares,
    }  # fmt: skip


async def measured(port: int, pids: dict[str, int], args: argparse.Namespace) -> Found:
    warm = Crowd(port, 2, 4)
    warm.grow(64, 0.1)
    await asyncio.sleep(5.0)
    await warm.stop()
    await asyncio.sleep(2.0)
    idle_kb = memory_kb(pids["gateway-0"])[0]
    crowd = Crowd(port, round(args.seconds / 10 * TOKENS_S), round(args.seconds / 10 * 3 * TOKENS_S))
    crowd.grow(args.streams, args.ramp)
    await asyncio.sleep(args.ramp + 2.0)
    before = {name: thread_cpu_s(pid) for name, pid in pids.items()}
    crowd.count_anew()
    samples = await sampled(crowd, pids, args.seconds, args.every)
    cores = {name: round((thread_cpu_s(pid) - before[name]) / args.seconds, 3) for name, pid in pids.items()}
    found = figures(samples, idle_kb, crowd, args) | {"cores": cores, "steps": []}
    if args.largest and not found["broken"]:
        found["steps"] = await larger(crowd, pids, args.streams, args)
    found["largest"] = max([s["streams"] for s in found["steps"] if s["holds"]], default=args.streams)
    await crowd.stop()
    return found


async def larger(crowd: Crowd, pids: dict[str, int], streams: int, args: argparse.Namespace) -> list[Found]:
    """More and more, until so many do not hold."""
    steps = list[Found]()
    while streams < args.most and (not steps or steps[-1]["holds"]):
        streams = min(args.most, round(streams * GROWS))
        steps.append(await held(crowd, pids, streams, args.ramp, args.hold))
        print(f"{streams:,} streams: {'hold' if steps[-1]['holds'] else 'do not hold'}", file=sys.stderr)
    return steps


def figures(samples: list[Sample], idle_kb: int, crowd: Crowd, args: argparse.Namespace) -> Found:
    steady = [s for s in samples if s.at_s >= STEADY_FROM * args.seconds]
    mean_kb = float(np.mean([s.rss_kb for s in steady]))
    rise_kb = slope([s.at_s for s in steady], [s.rss_kb for s in steady]) * args.seconds
    each_kb = (mean_kb - idle_kb) / args.streams
    rate = crowd.pieces / args.seconds / args.streams
    broken = [] if crowd.failed == 0 else [f"{crowd.failed} answers failed"]
    if min(s.streams for s in steady) < 0.99 * args.streams:
        broken.append(f"only {min(s.streams for s in steady):,} streams were open at one time")
    if rate < 0.98 * TOKENS_S:
        broken.append(f"{rate:.2f} tokens/s a stream instead of {TOKENS_S:g}")
    if each_kb > MOST_KB:
        broken.append(f"{each_kb:.1f} kB a stream, at most {MOST_KB:g}")
    if rise_kb > FLAT_SHARE * mean_kb:
        broken.append(f"memory rises by {rise_kb:,.0f} kB of {mean_kb:,.0f} kB")
    return {
        "streams": args.streams, "seconds": args.seconds, "tokens_s_stream": round(rate, 3),
        "gap_p50_ms": crowd.late_ms(0.5), "gap_p99_ms": crowd.late_ms(0.99), "answers": crowd.ended,
        "failed": crowd.failed, "idle_rss_kb": idle_kb, "rss_kb": round(mean_kb),
        "pss_kb": round(float(np.mean([s.pss_kb for s in steady]))), "rise_kb": round(rise_kb),
        "slope_kb_min": round(rise_kb / args.seconds * 60, 1), "kb_stream": round(each_kb, 2),
        "ledger_rss_kb": [steady[0].ledger_rss_kb, steady[-1].ledger_rss_kb],
        "samples": [[s.at_s, s.rss_kb, s.pss_kb, s.streams] for s in samples], "broken": broken,
    }  # fmt: skip


def lines(f: Found) -> list[str]:
    every = max(1, len(f["samples"]) // 10)
    stations = f["samples"][::every]
    mb = lambda kb: f"{kb / 1024:,.1f} MB"  # noqa: E731
    return [
        f"{f['streams']:,} streams at {f['tokens_s_stream']:.2f} tokens/s each for {f['seconds']:,.0f} s "
        f"({f['answers']:,} answers ended meanwhile, {f['failed']} failed); gaps p50 {f['gap_p50_ms']:.0f} ms, "
        f"p99 {f['gap_p99_ms']:.0f} ms.",
        "",
        "| | measured | at least |",
        "|---|---:|---|",
        f"| RSS of the gateway, steady | {mb(f['rss_kb'])} (PSS {mb(f['pss_kb'])}; idle {mb(f['idle_rss_kb'])}) | |",
        f"| … slope | {f['slope_kb_min']:+,.1f} kB/min, {f['rise_kb']:+,} kB in all | ≤ {FLAT_SHARE:.0%} of it in all |",
        f"| a stream | {f['kb_stream']:.1f} kB | ≤ {MOST_KB:g} kB |",
        f"| largest number that holds | {f['largest']:,} | 2,000 |",
        "",
        "| s | " + " | ".join(f"{s[0]:.0f}" for s in stations) + " |",
        "|---|" + "---:|" * len(stations),
        "| RSS, MB | " + " | ".join(f"{s[1] / 1024:.1f}" for s in stations) + " |",
        "",
        f"Cores: {', '.join(f'{name} {share:.2f}' for name, share in f['cores'].items())}.",
        *(
            f"- {s['streams']:,} streams: {'hold' if s['holds'] else 'do not hold'}; {s['tokens_s_stream']:.2f} tokens/s each, "
            f"gap p99 {s['gap_p99_ms']:.0f} ms, {s['failed']} failed; cores: "
            f"{', '.join(f'{name} {share:.2f}' for name, share in s['cores'].items())}"
            for s in f["steps"]
        ),
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--streams", type=int, help="default: 2,000; --quick: 200")
    parser.add_argument("--seconds", type=float, help="default: 600; --quick: 30")
    parser.add_argument("--no-largest", dest="largest", action="store_false", help="do not look for the largest number")
    parser.add_argument("--most", type=int, help="streams that are tried (default: 9,500; --quick: 300)")
    args = parser.parse_args()
    args.streams, args.seconds = (
        args.streams or (200 if args.quick else 2000),
        args.seconds or (30 if args.quick else 600),
    )
    args.most = args.most or (300 if args.quick else MOST_STREAMS)
    args.ramp, args.every, args.hold = (2.0, 1.0, 5.0) if args.quick else (20.0, 5.0, 30.0)
    with folder("streams") as place:
        port = free_port()
        (place / "bench.yaml").write_text(FACTORY.format(port=port))
        command = [sys.executable, str(Path(__file__).with_name("gateway.py")), "--engine", str(port)]
        engine = start(command, port, "/", place)
        try:
            with serving(place / "bench.yaml", "--processes", "1") as (process, gate):
                pids = roles(process.pid) | {"engine": engine.pid, "callers": os.getpid()}
                found = run_loop(measured(gate, pids, args))
        finally:
            engine.kill()
            engine.wait()
    tell("streams", args, found, lines)


if __name__ == "__main__":
    main()
