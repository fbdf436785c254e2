"""Runs every benchmark and writes docs/benchmarks.md with the peers' figures beside."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
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


def main() -> None:
    rows = [row for part in (twin, accuracy, ledger, plan, startup) for row in part()]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make bench` on {dt.date.today()}: {machine}. The machine is shared: ratios matter, not single times.",
        "",
        "| what | measured | goal | the peers |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    PAGE.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
