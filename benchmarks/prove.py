"""Every test, the full-size proofs that are tests (marked `prove`), the benchmarks, the gateway's proofs one by one; writes
docs/proof.md after each stage. Resumable: stages that passed are kept.

The ledger is proved on SQLite and on PostgreSQL: without a server that answers nothing is proved.
"""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "ledger"))
from postgres import NO_SERVER, answers  # noqa: E402 - the server of the tests

STATE, REPORT = ROOT / "out" / "prove.json", ROOT / "out" / "prove.xml"
PROOFS = "full-size proofs"
MARKED = ["-m", "pytest", "-m", "prove", "-n", "2", "--timeout", "3600"]
STAGES = {
    "every test": ["-m", "pytest", "-n", "2", "--dist", "worksteal"],
    PROOFS: [*MARKED, "-o", "junit_family=xunit1", f"--junitxml={REPORT}"],
    "benchmarks": ["benchmarks/run_all.py"],
}
# kills and budgets are among the marked tests
GATEWAY = ("counters", "document", "noise", "streams", "twin")
STAGES |= {f"gateway: {part}": ["benchmarks/gateway_prove.py", part] for part in GATEWAY}
ELSEWHERE = {"benchmarks": "[benchmarks.md](benchmarks.md)"} | {
    f"gateway: {part}": "holds: [serve-proof.md](serve-proof.md)" for part in GATEWAY
}


def main() -> None:
    if not answers():
        sys.exit(f"prove: {NO_SERVER}")
    STATE.parent.mkdir(exist_ok=True)
    done = json.loads(STATE.read_text()) if STATE.exists() else {}
    failed = False
    for name, arguments in STAGES.items():
        if name in done:
            print(f"{name}: done on {done[name]['date']}, kept (delete {STATE} to repeat)")
            continue
        print(f"{name} …", flush=True)
        found = stage(name, arguments)
        failed |= found is None
        if found is not None:
            done[name] = found
            STATE.write_text(json.dumps(done, indent=1))
            (ROOT / "docs" / "proof.md").write_text(page(done))
    sys.exit(1 if failed else 0)


def stage(name: str, arguments: list[str]) -> dict[str, Any] | None:
    """What a stage says; None where it failed, or where a proof was left out."""
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    rows = proofs(REPORT) if name == PROOFS and REPORT.exists() else []
    left_out = [row["proof"] for row in rows if row["skipped"]]
    if run.returncode or left_out:
        print(run.stdout[-4000:], run.stderr[-2000:], *left_out, sep="\n")
        return None
    last = run.stdout.strip().splitlines()[-1:] or [""]
    return {"date": str(dt.date.today()), "said": ELSEWHERE.get(name, last[0]), "proofs": rows}


def proofs(report: Path) -> list[dict[str, Any]]:
    """One row per test of pytest's report: its name in words, the figure that it noted, seconds."""
    return [
        {
            "proof": case.get("name", "").removeprefix("test_").replace("_", " "),
            "figure": next((p.get("value") for p in case.iter("property") if p.get("name") == "figure"), ""),
            "seconds": round(float(case.get("time", 0))),
            "skipped": case.find("skipped") is not None,
        }
        for case in ElementTree.parse(report).iter("testcase")
    ]


def page(done: dict[str, Any]) -> str:
    lines = ["# Proof", "", "Made by `make prove`.", "", "| stage | date | said |", "|---|---|---|"]
    lines += [f"| {name} | {d['date']} | {d['said']} |" for name, d in done.items()]
    rows = [row for d in done.values() for row in d.get("proofs", ())]
    lines += ["", "| proof | figure | seconds |", "|---|---|---|"] if rows else []
    lines += [f"| {row['proof']} | {row['figure']} | {row['seconds']} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
