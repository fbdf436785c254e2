"""Seconds of `tokenworks validate` on everything, with two processes, and its headline errors."""

import argparse
import json
import time

from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.tables import error_table
from tokenworks.accuracy.validate import validate


def measure() -> dict[str, object]:
    start = time.perf_counter()
    measured = load_measurements()
    answers = validate(measured, 2, lambda _: None)
    seconds = time.perf_counter() - start
    table = error_table(measured, answers)
    keys = ("fully specified", "validation, distinct, no assumption", "validation as printed", "intervals")
    return {"seconds": seconds, **{key: table[key] for key in keys}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure()
    print(json.dumps(found) if args.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
