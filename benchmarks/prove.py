"""Full-size proofs: tests marked `prove`, then the benchmarks; writes docs/proof.md. Resumable: stages that passed are kept."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATE = ROOT / "out" / "prove.json"
STAGES = {
    "full-size proofs": ["-m", "pytest", "-m", "prove", "-n", "2", "--timeout", "3600"],
    "every test": ["-m", "pytest", "-n", "2", "--dist", "worksteal"],
    "benchmarks": ["benchmarks/run_all.py"],
}


def main() -> None:
    STATE.parent.mkdir(exist_ok=True)
    done = json.loads(STATE.read_text()) if STATE.exists() else {}
    failed = False
    for name, arguments in STAGES.items():
        if name in done:
            print(f"{name}: done on {done[name]['date']}, kept (delete {STATE} to repeat)")
            continue
        print(f"{name} …", flush=True)
        run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
        tail = run.stdout.strip().splitlines()[-1:] or [""]
        if run.returncode == 0:
            done[name] = {"date": str(dt.date.today()), "said": tail[0]}
            STATE.write_text(json.dumps(done, indent=1))
        else:
            failed = True
            print(run.stdout[-4000:], run.stderr[-2000:])
    lines = ["# Proof", "", "Made by `make prove`.", "", "| stage | date | said |", "|---|---|---|"]
    lines += [f"| {name} | {d['date']} | {d['said']} |" for name, d in done.items()]
    (ROOT / "docs" / "proof.md").write_text("\n".join(lines) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
