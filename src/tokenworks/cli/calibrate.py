"""`tokenworks calibrate`: fit the performance model on measurements."""

from __future__ import annotations

import argparse
from typing import Any

from tokenworks.cli.arguments import at_least


def register(verbs: Any) -> None:
    parser = verbs.add_parser("calibrate", help="fit the performance model on measurements")
    parser.add_argument("table", nargs="?", help="CSV of measurements (default: those shipped)")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where effects.json and intervals.json go (default: the package's own)",
    )
    parser.add_argument(
        "--rounds", type=at_least(0), default=5, help="linearisations for the pooled effects (default: 5)"
    )
    parser.add_argument(
        "--every", type=at_least(1), default=1, help="use every N-th experiment, for a quick look (default: 1)"
    )
    parser.add_argument("--start", metavar="JSON", help="effects to start from (default: none)")
    parser.add_argument("--processes", type=at_least(1), default=2)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from tokenworks.accuracy.calibrate import calibrate
    from tokenworks.accuracy.packed import load_measurements
    from tokenworks.accuracy.rows import read_csv
    from tokenworks.errors import InputError
    from tokenworks.physics.terms import CALIBRATION
    from tokenworks.report.files import refuse_unwritable

    folder = Path(args.out) if args.out else CALIBRATION
    refuse_unwritable(folder)
    if args.start and not Path(args.start).is_file():
        raise InputError(f"no such file: {args.start}")
    measured = read_csv(Path(args.table)) if args.table else load_measurements()
    calibrate(
        measured,
        folder,
        args.rounds,
        args.every,
        args.processes,
        print,
        Path(args.start) if args.start else None,
    )
    return 0
