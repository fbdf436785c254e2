"""Runs every benchmark and writes docs/benchmarks.md with the peers' figures beside."""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PEERS = {
    "twin": "Dynamo replay 5,600–10,100/s; Vidur 296–432/s; BLIS 100–120/s",
    "validate": "AIConfigurator 7–9 s for one point",
}
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
    site = run("site.py", "--every", "8")
    fleet = run("fleet.py", "--requests", "100000000")
    played, cached = f"{twin['requests_s']:,.0f} requests/s", f"{mooncake['cached_share']:.0%} of prompt tokens cached"
    whole = f"{fleet['seconds']:.0f} s, {fleet['peak_rss_mb']:.0f} MB in three processes"
    held_out = ", ".join(
        f"{name} {site['shipped'][name]['before_median']:.1%} → {site['shipped'][name]['after_median']:.1%}"
        for name in ("output tokens/s/GPU", "TPOT")
    )
    rows = [
        ("twin, Azure conversation, 8 workers", f"{played}, {twin['peak_rss_mb']:.0f} MB", "≥ 1 M/s", PEERS["twin"]),
        ("twin, Mooncake × 100, KV-aware", f"{mooncake['requests_s']:,.0f} requests/s, {cached}", "≥ 150 k/s", "—"),
        ("100 M requests, 1,000 workers, 20 cells", whole, "≤ 180 s, ≤ 2 GB", "out of reach"),
        ("validate on everything", f"{validation['seconds']:.0f} s", "≤ 60 s", PEERS["validate"]),
        ("site calibration, 5 points of every 8th sweep known", f"median error {held_out}", "≤ 4%", "—"),
        ("--help", f"{startup['help_s']:.2f} s", "≤ 0.3 s", "5–9 s"),
        ("check", f"{startup['check_s']:.2f} s", "≤ 0.5 s", "—"),
        ("run, warm", f"{startup['run_s']:.2f} s", "≤ 3 s", "—"),
        ("kernels on a CUDA device", str(kernels.get("said") or kernels["device"]), "—", "—"),
    ]
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
