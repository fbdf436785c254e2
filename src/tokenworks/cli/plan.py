"""`tokenworks plan DEMAND`: what to buy or rent, how to lay it out, how sure that is; `plan explain` tells why."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli import plan_export

if TYPE_CHECKING:
    from tokenworks.plan.result import Plan

MAKE = "make"  # what `plan FILE` stands for
NAMES = ("plan.json", "plan.html", "factory.yaml")


def register(verbs: Any) -> None:
    parser = verbs.add_parser("plan", help="the best factory for a demand, rehearsed, with reasons and files")
    inner = parser.add_subparsers(dest="plan_verb", metavar="DEMAND | VERB", required=True)
    make = inner.add_parser(MAKE, help="plan for a demand file; the word may be left out: plan DEMAND.yaml")
    make.add_argument("file", metavar="DEMAND", help="demand file (YAML), or the name of a shipped demand")
    make.add_argument("--robust", action="store_true", help="hold objectives in 90%% of draws of the model's errors")
    make.add_argument("--out", metavar="FOLDER", help=f"where {', '.join(NAMES)} go (default: out/NAME-plan)")
    make.add_argument(
        "--svg", metavar="FOLDER", help="charts for slides, an SVG each, right on white and on dark ground"
    )
    make.add_argument("--png", metavar="FOLDER", help="the same as PNG, on transparent ground (needs tokenworks[png])")
    make.add_argument("--json", action="store_true", help="print the plan as JSON, nothing else")
    make.add_argument("--quiet", action="store_true", help="no progress, no report; only the files")
    make.set_defaults(run=run)
    explain = inner.add_parser(
        "explain", help="why: everything that was tried, what binds, what would change the answer"
    )
    explain.add_argument("what", metavar="FOLDER|DEMAND", help="folder of a plan, or a demand to plan for")
    explain.add_argument("--robust", action="store_true", help="of a demand: as for plan")
    explain.set_defaults(run=run_explain)
    plan_export.register(inner)


def with_make(argv: Sequence[str], known: Sequence[str] = (MAKE, "explain", "export")) -> list[str]:
    """`plan FILE …` as `plan make FILE …`.

    >>> with_make(["plan", "chat.yaml", "--json"]), with_make(["plan", "explain", "out"]), with_make(["run", "x"])
    (['plan', 'make', 'chat.yaml', '--json'], ['plan', 'explain', 'out'], ['run', 'x'])
    """
    words = list(argv)
    if len(words) > 1 and words[0] == "plan" and words[1] not in (*known, "-h", "--help"):
        return ["plan", MAKE, *words[1:]]
    return words


def run(args: argparse.Namespace) -> int:
    from tokenworks.cli.run import folder_name
    from tokenworks.plan.reading import load
    from tokenworks.report.files import refuse_unwritable, write_together
    from tokenworks.report.plan_files import plan_json
    from tokenworks.report.plan_page import plan_page
    from tokenworks.report.plan_text import plan_text
    from tokenworks.report.plan_words import verdict

    demand = load(args.file)
    folder = Path(args.out or Path("out", f"{folder_name(demand.name)}-plan"))
    pictures = _pictures(args)
    for place in (folder, *(place for place, _ in pictures)):
        refuse_unwritable(place)
    plan = _planned(args.file, args.robust, args.quiet or args.json)
    written = {"plan.json": plan_json(plan).encode(), "plan.html": plan_page(plan).encode()}
    if plan.best is not None:
        written["factory.yaml"] = plan.best.yaml.encode()
    paths = {folder / name: data for name, data in written.items()}
    for place, drawn in pictures:
        paths |= {place / name: data for name, data in drawn(plan).items()}
    write_together(paths)
    if plan.best is None:
        (folder / "factory.yaml").unlink(missing_ok=True)  # of an earlier plan, which this one replaces
    if args.json:
        print(plan_json(plan))
    elif not args.quiet:
        print(plan_text(plan, tuple(str(path) for path in paths)), end="")
    if plan.best is not None:
        return 0
    if args.json or args.quiet:  # nobody should take silence for a plan
        print(verdict(plan), file=sys.stderr)
    return 2


def _pictures(args: argparse.Namespace) -> list[tuple[Path, Callable[[Plan], dict[str, bytes]]]]:
    """Folders for pictures, and what draws them. Raises InputError where the extra for PNG is not installed: before a plan
    is made, not after."""
    from tokenworks.report.plan_slides import png_slides, svg_slides
    from tokenworks.report.png import to_png

    found: list[tuple[Path, Callable[[Plan], dict[str, bytes]]]] = []
    if args.svg:
        found.append((Path(args.svg), svg_slides))
    if args.png:
        to_png('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
        found.append((Path(args.png), png_slides))
    return found


def _planned(file: str, robust: bool, quiet: bool) -> Plan:
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.plan.make import make_plan
    from tokenworks.plan.reading import load
    from tokenworks.report.progress import progress

    with progress(quiet) as say, asked_to_stop("stopping: no plan is written (Ctrl-C again: at once)") as stop:
        return make_plan(load(file), robust, say, stop)


def run_explain(args: argparse.Namespace) -> int:
    from tokenworks.report.plan_files import read_plan
    from tokenworks.report.plan_text import explain_text

    path = Path(args.what)
    made = path.is_dir() or path.suffix == ".json"
    plan = read_plan(path) if made else _planned(args.what, args.robust, False)
    print(explain_text(plan), end="")
    return 0 if plan.best is not None else 2
