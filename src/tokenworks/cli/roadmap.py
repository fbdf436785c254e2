"""`tokenworks roadmap FILE`: a fleet over time: what to buy or rent when, and when to wait."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAMES = ("roadmap.json", "roadmap.html")


def register(verbs: Any) -> None:
    parser = verbs.add_parser("roadmap", help="a fleet over time: what to buy, rent or sell when, rehearsed")
    parser.add_argument("file", help="roadmap file (YAML), or the name of a shipped one")
    parser.add_argument("--out", metavar="FOLDER", help=f"where {' and '.join(NAMES)} go (default: out/NAME-roadmap)")
    parser.add_argument("--json", action="store_true", help="print the roadmap as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress, no report; only the files")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.run import folder_name
    from tokenworks.plan.fleet.make import made
    from tokenworks.plan.fleet.reading import load
    from tokenworks.plan.fleet.result import result_of
    from tokenworks.report.files import plain, refuse_unwritable, write_together
    from tokenworks.report.progress import progress
    from tokenworks.report.roadmap_page import roadmap_page
    from tokenworks.report.roadmap_text import roadmap_text

    roadmap, demand = load(args.file)
    folder = Path(args.out or Path("out", f"{folder_name(roadmap.name)}-roadmap"))
    refuse_unwritable(folder)
    said = "stopping: no roadmap is written (Ctrl-C again: at once)"
    with progress(args.quiet or args.json) as say, asked_to_stop(said) as stop:
        found = result_of(made(roadmap, demand, say, stop))
    text = json.dumps({"format": "tokenworks-roadmap-1", **plain(found)}, ensure_ascii=False, indent=1)
    paths = {folder / "roadmap.json": text.encode(), folder / "roadmap.html": roadmap_page(found).encode()}
    write_together(paths)
    if args.json:
        print(text)
    elif not args.quiet:
        print(roadmap_text(found, tuple(str(path) for path in paths)), end="")
    return 0
