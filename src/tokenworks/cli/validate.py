"""`tokenworks validate`: predict published measurements and show the errors."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import crew_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from tokenworks.accuracy.rows import Measurement
    from tokenworks.accuracy.validate import Answer


def register(verbs: Any) -> None:
    parser = verbs.add_parser("validate", help="predict published measurements and show the errors")
    parser.add_argument(
        "table", nargs="?", help="CSV with the columns of the packed measurements (default: those shipped)"
    )
    parser.add_argument("--predictions", metavar="CSV", help="write one line of predictions per row")
    parser.add_argument("--page", metavar="MD", help="write a page of tables and charts; these in a folder beside it")
    parser.add_argument(
        "--residuals",
        metavar="OUT",
        help="write a page and a Parquet file of residuals into this folder (or page.html)",
    )
    parser.add_argument("--json", action="store_true", help="print the error table as JSON")
    parser.add_argument("--quiet", action="store_true")
    crew_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from tokenworks.accuracy.packed import load_measurements
    from tokenworks.accuracy.rows import read_csv
    from tokenworks.accuracy.tables import error_table, table_text
    from tokenworks.accuracy.validate import predictions_csv
    from tokenworks.report.accuracy_page import accuracy_page
    from tokenworks.report.files import write_together, write_whole

    out = Path(args.predictions) if args.predictions else None
    page = Path(args.page) if args.page else None
    _refuse(args, out, page)
    measured = read_csv(Path(args.table)) if args.table else load_measurements()
    answers, written = _answers(args, measured)
    if out:
        write_whole(out, predictions_csv(measured, answers).encode())
    if page:
        name = f"the table `{Path(args.table).name}`" if args.table else "the packed measurements"
        write_together(accuracy_page(measured, answers, page, name))
    table = error_table(measured, answers)
    if args.json:
        print(json.dumps(table, indent=1))
    elif not args.quiet:
        print(table_text(table))
        for path in written:
            print(f"wrote {path}")
    return 0


def _refuse(args: argparse.Namespace, out: Path | None, page: Path | None) -> None:
    """Say before the work that its files have no place to go. Raises InputError."""
    from pathlib import Path

    from tokenworks.errors import InputError
    from tokenworks.report.files import refuse_unwritable
    from tokenworks.report.residual_files import places

    if page and page.suffix != ".md":
        raise InputError(f"{page} is not a name of a page: it ends in .md, and its charts go into {page.stem}/")
    for path in (out, page, *(places(Path(args.residuals)) if args.residuals else ())):
        if path is None:
            continue
        refuse_unwritable(path.parent)
        if args.table and path.resolve() == Path(args.table).resolve():
            raise InputError(f"{path} is the table itself; write to another file")


def _answers(args: argparse.Namespace, measured: list[Measurement]) -> tuple[list[Answer], tuple[Path, ...]]:
    """Predictions of all rows, and the files of residuals that were written."""
    from pathlib import Path

    from tokenworks.accuracy.residuals import residuals
    from tokenworks.accuracy.validate import validate
    from tokenworks.cli.arguments import crew_of
    from tokenworks.report.progress import progress
    from tokenworks.report.residual_files import write_residuals

    crew = crew_of(args)
    with progress(quiet=args.quiet or args.json) as say:
        if not args.residuals:
            return validate(measured, crew.size, say, crew.ray), ()
        found = residuals(measured, crew.size, say, crew.ray)
        say("drawing the page of residuals")
        return [r.answer for r in found], write_residuals(found, Path(args.residuals))
