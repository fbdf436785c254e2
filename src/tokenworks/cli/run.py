"""`tokenworks run FILE`: rehearse a factory on the virtual clock and report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("run", help="rehearse a factory on the virtual clock and report")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument("--out", metavar="FOLDER", help="where report.html and result.json go (default: out/NAME)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress, no report; only the files")
    parser.add_argument("--requests", action="store_true", help="keep every request in requests.parquet")
    parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], help="change a field, e.g. run.seed=3"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from tokenworks.api import load
    from tokenworks.rehearsal import rehearse
    from tokenworks.report.files import to_json, write_whole
    from tokenworks.report.html import page
    from tokenworks.report.progress import progress
    from tokenworks.report.tables import requests_table, write_parquet

    factory = load(args.file)
    for change in args.set:
        path, _, value = change.partition("=")
        factory = factory.replace(path, value)
    if args.requests:
        factory = factory.replace("run.record_requests", True)
    with progress(quiet=args.quiet or args.json) as say:
        done = rehearse(factory, say)
    folder = Path(args.out or f"out/{factory.name}")
    paths = [folder / "report.html", folder / "result.json"]
    if done.log is not None:
        paths.append(folder / "requests.parquet")
        write_parquet(requests_table(done.requests, done.log, done.services), paths[2])
    result = replace(done.result, files=tuple(str(p) for p in paths))
    write_whole(paths[0], page(result).encode())
    write_whole(paths[1], to_json(result).encode())
    if args.json:
        print(to_json(result))
    elif not args.quiet:
        from rich.console import Console

        from tokenworks.report.terminal import WIDTH, show

        console = Console(highlight=False, width=WIDTH if not sys.stdout.isatty() else None)
        show(result, console)
    return 0
