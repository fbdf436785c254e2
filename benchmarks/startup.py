"""Start-up times: `--help`, `check`, a warm `run`. Medians of five; ratios matter, not single times."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

GOALS = {"help_s": 0.3, "check_s": 0.5, "run_s": 3.0}


def seconds(arguments: list[str], runs: int = 5) -> float:
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tokenworks", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return {
            "help_s": seconds(["--help"]),
            "check_s": seconds(["check", "nvl72"]),
            "run_s": seconds(["run", "nvl72", "--out", folder]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure()
    print(
        json.dumps(found) if args.json else "\n".join(f"{k:10} {v:.2f} s (goal {GOALS[k]} s)" for k, v in found.items())
    )


main()
