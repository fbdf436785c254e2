"""Kills and budgets at full size: tests marked `prove`, each suite with one command, with the figures that they note.

python benchmarks/gateway_suites.py killed-workers     200 random kill −9 of emulated workers under load
python benchmarks/gateway_suites.py killed-gateways    50 of gateways, 10 of the ledger process
python benchmarks/gateway_suites.py budgets            one budget, 500 callers at two gateways, on SQLite and PostgreSQL
python benchmarks/gateway_suites.py SUITE --quick      the small forms that `make test` runs
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from gateway_proof import ROOT, Found, options, tell
from prove import proofs

SERVE = "tests/serve"
SUITES = {  # full, quick
    "killed-workers": (
        f"{SERVE}/test_migration.py::test_two_hundred_killed_workers_cost_no_token_and_repeat_none",
        f"{SERVE}/test_migration.py::test_killed_workers_cost_no_token_and_repeat_none",
    ),
    "killed-gateways": (
        f"{SERVE}/test_killed_processes.py::test_fifty_gateways_and_ten_ledgers_killed",
        f"{SERVE}/test_killed_processes.py::test_gateways_and_the_ledger_are_killed_under_load",
    ),
    "budgets": (
        f"{SERVE}/test_two_gateways.py::test_five_hundred_callers_at_two_gateways",
        f"{SERVE}/test_two_gateways.py::test_two_gateways_never_exceed_a_budget_and_refunds_settle_exactly",
    ),
}


def measured(suite: str, quick: bool) -> Found:
    """Runs it. A test that was left out has not shown anything: it counts as broken."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "suite.xml"
        chosen = [] if quick else ["-m", "prove", "--timeout", "3600"]
        told = ["-o", "junit_family=xunit1", f"--junitxml={report}", "-rs"]
        command = [sys.executable, "-m", "pytest", *chosen, *told, SUITES[suite][quick]]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        rows = proofs(report) if report.exists() else []
    broken = [f"{row['proof']}: left out" for row in rows if row["skipped"]]
    if run.returncode or not rows:
        broken.append(f"pytest ended with {run.returncode}: {run.stdout[-4000:]}{run.stderr[-1000:]}")
    return {"proofs": rows, "broken": broken}


def lines(f: Found) -> list[str]:
    rows = [f"| {row['proof']} | {row['figure']} | {row['seconds']} |" for row in f["proofs"]]
    return ["| proof | figure | seconds |", "|---|---|---:|", *rows]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("suite", choices=SUITES)
    args = parser.parse_args()
    tell(args.suite, args, measured(args.suite, args.quick), lines)


if __name__ == "__main__":
    main()
