"""The gateway at full size: every proof of docs/serve-proof.md, or those that are named, one after the other.

python benchmarks/gateway_prove.py                       all, about an hour and a half on two idle cores
python benchmarks/gateway_prove.py counters document     these
python benchmarks/gateway_prove.py --quick               small forms of all, which write nothing: about seven minutes
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {
    "counters": ["gateway_counters.py"],
    "document": ["gateway_document.py"],
    "noise": ["gateway_noise.py"],
    "killed-workers": ["gateway_suites.py", "killed-workers"],
    "killed-gateways": ["gateway_suites.py", "killed-gateways"],
    "budgets": ["gateway_suites.py", "budgets"],
    "streams": ["gateway_streams.py"],
    "twin": ["gateway_twin.py"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if unknown := [part for part in args.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; known are {', '.join(PARTS)}")
    failed = []
    for part in args.parts or PARTS:
        print(f"{part} …", flush=True)
        script, *words = PARTS[part]
        form = "--quick" if args.quick else "--page"
        if subprocess.run([sys.executable, str(HERE / script), *words, form]).returncode:
            failed.append(part)
    said = f"failed: {', '.join(failed)}" if failed else "all hold"
    print(f"{len(args.parts or PARTS)} proofs of the gateway, {said}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
