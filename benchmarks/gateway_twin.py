"""The twin against live emulated workers: the same requests at three loads up to 90% of what the factory sustains.

python benchmarks/gateway_twin.py            ten minutes of requests at each load (about 33 minutes)
python benchmarks/gateway_twin.py --quick    one load of 40 s

At each load `tokenworks serve --emulate` answers what `tokenworks bench` asks (a recorded trace at that rate), then
`tokenworks rehearse` plays the gateway's ledger in the twin and lays both side by side, request by request. The first tenth is
played and not compared. Bounds: throughput 3%, medians of TTFT and TPOT 5%, p99 15%.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from gateway_proof import Found, folder, options, serving, tell

LOADS = (0.3, 0.6, 0.9)  # of what is sustainable
BOUNDS = {"output tokens/s": 0.03, "TTFT p50": 0.05, "TPOT p50": 0.05, "TTFT p99": 0.15, "TPOT p99": 0.15}
LEAST = 100  # requests that are compared: a p99 of fewer is no figure
FACTORY = """
factory: four desks
systems: [{{id: box, system: laptop-rtx-4090, count: 4}}]
services: [{{name: chat, model: llama-3.1-8b, precision: fp8, workers: 4, max_seqs: 16, routing: least-loaded}}]
workload: [{{service: chat, trace: azure-2023-conversation, scale: "{load:.0%} of sustainable"}}]
serve: {{drain: 60 s}}
"""


def verb(*words: str, place: Path, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run([sys.executable, "-m", "tokenworks", *words], cwd=place, capture_output=True, text=True)
    if done.returncode not in codes:
        raise SystemExit(f"tokenworks {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def compared(load: float, seconds: float) -> Found:
    """One load, live and in the twin."""
    with folder("twin") as place:
        file = place / "desks.yaml"
        file.write_text(FACTORY.format(load=load))
        with serving(file, "--emulate", "--processes", "1") as (_, port):
            asked = ["--factory", file.name, "--duration", f"{seconds:g} s", "--chars-per-token", "4", "--json"]
            asked += [
                "--most-late",
                "1 s",
            ]  # the twin gets the times at which requests came, not those at which they were due
            verb("bench", f"http://127.0.0.1:{port}", *asked, place=place)
        bounds = [f"--bound={name}" for name in ("throughput=3%", "p50=5%", "tail=15%")]
        said = verb("rehearse", "ledger.db", file.name, "--strict", *bounds, "--json", place=place, codes=(0, 1))
    told = json.loads(said)
    (side,) = told["services"]
    rows = {line["what"]: line for line in side["lines"] if line["what"] in BOUNDS}
    return {
        "load": load, "requests": side["requests"], "span_s": told["traffic"]["span_s"],
        "rows": {what: {"live": rows[what]["live"], "twin": rows[what]["twin"]["value"]} for what in BOUNDS},
    }  # fmt: skip


def judged(f: Found) -> list[str]:
    """What is beyond its bound."""
    broken = []
    for what, bound in BOUNDS.items():
        row = f["rows"][what]
        row["difference"] = row["live"] / row["twin"] - 1
        if abs(row["difference"]) > bound:
            broken.append(f"at {f['load']:.0%}: {what} {row['difference']:+.1%}, at most {bound:.0%}")
    if f["requests"] < LEAST:
        broken.append(f"at {f['load']:.0%}: {f['requests']} requests were compared, at least {LEAST}")
    return broken


def measured(args: argparse.Namespace) -> Found:
    loads = args.loads or ((0.6,) if args.quick else LOADS)
    found, broken = [], list[str]()
    for load in loads:
        found.append(compared(load, args.seconds or (40.0 if args.quick else 600.0)))
        broken += judged(found[-1])
        print(f"{load:.0%}: {found[-1]['requests']:,} requests", file=sys.stderr)
    return {"loads": found, "broken": broken}


def lines(f: Found) -> list[str]:
    unit = lambda what, value: f"{value:,.0f}" if what.endswith("/s") else f"{value * 1e3:,.2f} ms"  # noqa: E731
    return [
        "| load, of what is sustainable | requests | what | live | twin | live − twin | bound |",
        "|---:|---:|---|---:|---:|---:|---:|",
        *(
            f"| {one['load']:.0%} | {one['requests']:,} | {what} | {unit(what, row['live'])} | {unit(what, row['twin'])} | "
            f"{row['difference']:+.1%} | {BOUNDS[what]:.0%} |"
            for one in f["loads"]
            for what, row in one["rows"].items()
        ),
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, help="of requests at each load (default: 600; --quick: 40)")
    parser.add_argument("--loads", type=float, nargs="+", help="shares of what is sustainable (default: 0.3 0.6 0.9)")
    args = parser.parse_args()
    tell("twin", args, measured(args), lines)


if __name__ == "__main__":
    main()
