"""Runs every benchmark and writes docs/benchmarks.md with the peers' figures beside."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


def run(name: str, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    twin = run("twin.py", "--requests", "2000000")
    mooncake = run("mooncake.py")
    startup = run("startup.py")
    validation = run("validation.py")
    kernels = run("kernels.py")
    rows = [
        ("twin, Azure conversation, 8 workers",
            f"{twin['requests_s']:,.0f} requests/s, {twin['peak_rss_mb']:.0f} MB", "≥ 1 M/s", "Dynamo replay 5,600–10,100/s; Vidur 296–432/s"),
        ("twin, Mooncake × 100, prefix caches, KV-aware routing", f"{mooncake['requests_s']:,.0f} requests/s, {mooncake['cached_share']:.0%} of prompt tokens cached", "≥ 150 k/s", "—"),
        ("validate on everything, two processes", f"{validation['seconds']:.0f} s", "≤ 60 s", "AIConfigurator 7–9 s for one point"),
        ("--help", f"{startup['help_s']:.2f} s", "≤ 0.3 s", "5–9 s"),
        ("check", f"{startup['check_s']:.2f} s", "≤ 0.5 s", "—"),
        ("run, warm", f"{startup['run_s']:.2f} s", "≤ 3 s", "—"),
        ("kernels on a CUDA device", str(kernels.get("said") or kernels["device"]), "—", "—"),
    ]  # fmt: skip
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
