"""Runs benchmarks and writes docs/benchmarks.md with the peers' figures beside: all, or the parts that are named.

A part that is not run keeps its section, with the day on which it was made.
"""

import datetime as dt
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Made by `make bench` (or `benchmarks/run_all.py PART …`), each part on its own day. The machine is shared: ratios matter, not
single times.
"""
Row = tuple[str, str, str, str]


def run(name: str, *arguments: str) -> dict:
    print(f"{name} …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def twin() -> Iterator[Row]:
    played, mooncake = run("twin.py", "--requests", "2000000"), run("mooncake.py")
    said = f"{played['requests_s']:,.0f} requests/s, {played['peak_rss_mb']:.0f} MB"
    yield (
        "twin, Azure conversation, 8 workers",
        said,
        "≥ 1 M/s",
        "Dynamo replay 5,600–10,100/s; Vidur 296–432/s; BLIS 100–120/s",
    )
    said = f"{mooncake['requests_s']:,.0f} requests/s, {mooncake['cached_share']:.0%} of prompt tokens cached"
    yield "twin, Mooncake × 100, KV-aware", said, "≥ 150 k/s", "—"
    fleet = run("fleet.py", "--requests", "100000000")
    said = f"{fleet['seconds']:.0f} s, {fleet['peak_rss_mb']:.0f} MB in three processes"
    yield "100 M requests, 1,000 workers, 20 cells", said, "≤ 180 s, ≤ 2 GB", "out of reach"
    shares = run("allocation.py")
    yield "twin with allocation, share of its speed without", f"{shares['with_allocation_share']:.0%}", "≥ 60%", "none"
    said = f"{shares['twin_allocation_segments_requests_s']:,.0f} requests/s"
    yield "… and sealed segments written, two cores", said, "≥ 600 k/s", "none"


def accuracy() -> Iterator[Row]:
    said = f"{run('validation.py')['seconds']:.0f} s"
    yield "validate on everything", said, "≤ 60 s", "AIConfigurator 7–9 s for one point"
    site = run("site.py", "--every", "8")["shipped"]
    names = ("output tokens/s/GPU", "TPOT")
    said = ", ".join(f"{n} {site[n]['before_median']:.1%} → {site[n]['after_median']:.1%}" for n in names)
    yield "site calibration, 5 points of every 8th sweep known", f"median error {said}", "≤ 4%", "—"
    kernels = run("kernels.py")
    yield "kernels on a CUDA device", str(kernels.get("said") or kernels["device"]), "—", "—"


def ledger() -> Iterator[Row]:
    found = run("ledger.py")
    said = f"{found['durable_events_s']:,}/s, p99 {found['durable_p99_ms']} ms, {found['share_of_bare']:.0%} of bare"
    yield "durable events, 256 producers that wait", said, "≥ 40 k/s, ≤ 15 ms, ≥ 60%", "bare prototype 77–87 k/s"
    yield "… with 50 M keys stored", f"{found['durable_events_s_at_50m']:,}/s", "≥ 70%", "—"
    yield "bulk segments", f"{found['bulk_events_s']:,} events/s", "≥ 1 M/s", "—"
    yield "tenant × run × hour over 10 M events", f"{found['group_by_10m_s']:.2f} s", "≤ 1 s", "—"
    yield "rating 10 M events, graduated", f"{found['rate_10m_s']:.1f} s", "≤ 10 s", "—"


def plan() -> Iterator[Row]:
    found = run("plan.py")
    said = f"{found['configs_s_core']:,.0f} configurations/s/core"
    yield "planner, wide pass", said, "≥ 50 k/s", "AIConfigurator ~1.2 k/s"
    yield (
        "planner, one MoE model, 4 accelerators, rehearsed",
        f"{found['plan_s']:.1f} s",
        "≤ 10 s",
        "51–467 s, not rehearsed",
    )


def startup() -> Iterator[Row]:
    found = run("startup.py")
    said = (("--help", "help_s", 0.3, "5–9 s"), ("check", "check_s", 0.5, "—"), ("run, warm", "run_s", 3, "—"))
    for name, key, goal, peer in said:
        yield name, f"{found[key]:.2f} s", f"≤ {goal} s", peer


def gateway() -> Iterator[Row]:
    found = run("gateway.py")

    def per(what: str, which: str = "") -> str:
        ours, nginx = found[f"{which}cpu_us_per_{what}"], found[f"nginx_cpu_us_per_{what}"]
        return f"{ours:.0f} µs, {f'{ours / nginx:.1f} × nginx' if nginx else 'no nginx here'}"

    litellm_us, ours_us = found["litellm_cpu_us_per_request"], found["cpu_us_per_request"]
    peer = f"LiteLLM {litellm_us / 1e3:.1f} ms ({litellm_us / ours_us:.0f} ×), no spend log" if litellm_us else "—"
    yield "gateway, CPU a request", per("request"), "≤ 3 × nginx, 1/50 of LiteLLM", peer
    yield "… and of the ledger process", per("request", "with_ledger_"), "—", "—"
    yield "gateway, CPU a streamed chunk", per("chunk"), "≤ 3 × nginx", "—"
    said = f"p50 {found['added_ttft_p50_ms']:.1f} ms, p99 {found['added_ttft_p99_ms']:.1f} ms"
    yield "gateway, added TTFT at half load", said, "≤ 1 ms, ≤ 5 ms", "—"


PARTS = {part.__name__: part for part in (twin, accuracy, ledger, plan, gateway, startup)}


def section(name: str) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    rows = [
        f"## {name}",
        f"Made on {dt.date.today()}: {machine}.",
        "",
        "| what | measured | goal | the peers |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in PARTS[name]()),
    ]
    return "\n".join(rows) + "\n"


def main() -> None:
    names = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"no part {unknown[0]!r}; known are {', '.join(PARTS)}")
    kept = dict(re.findall(r"^(## (\w+)\n.*?)(?=^## |\Z)", PAGE.read_text(), re.S | re.M)) if PAGE.exists() else {}
    there = {name: text.rstrip() + "\n" for text, name in kept.items()}
    for name in names:
        there[name] = section(name)
        print(there[name])
        body = "\n".join(there[part] for part in PARTS if part in there)
        PAGE.write_text(HEAD + "\n" + body)


if __name__ == "__main__":
    main()
