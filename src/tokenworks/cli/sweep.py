"""`tokenworks sweep FILE --over PATH=V1,V2`: rehearse many variants of a factory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import at_least, crew_arguments, site_argument

if TYPE_CHECKING:
    from tokenworks.plan.sweep.points import Changes
    from tokenworks.spec.factory import Factory

RANKS = ("usd_per_mtok", "tokens_per_j", "output_tokens_s", "usd_h")


def register(verbs: Any) -> None:
    parser = verbs.add_parser("sweep", help="rehearse many variants of a factory: a grid or a sample over any fields")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument(
        "--over",
        metavar="PATH=V1,V2,…",
        action="append",
        required=True,
        help="vary a field, e.g. services.chat.tp=1,2,4; with --sample also a range: 1..8, $2..$4/GPU-h, 1..1000 log",
    )
    parser.add_argument("--sample", type=at_least(1), metavar="N", help="N points of a Latin hypercube, not the grid")
    parser.add_argument("--random", action="store_true", help="with --sample: independent draws, no hypercube")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the sample (default: 0)")
    parser.add_argument("--by", choices=RANKS, default=RANKS[0], help="what the best point is (default: usd_per_mtok)")
    parser.add_argument("--out", metavar="FOLDER", help="where results and journal go (default: out/NAME/sweep)")
    parser.add_argument("--fresh", action="store_true", help="forget what the journal of the folder holds")
    parser.add_argument("--json", action="store_true", help="print all points as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="only the files")
    crew_arguments(parser)
    site_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.api import load
    from tokenworks.cli.arguments import crew_of
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.run import folder_name
    from tokenworks.plan.sweep.journal import Journal
    from tokenworks.plan.sweep.run import sweep
    from tokenworks.report.files import refuse_unwritable, write_together
    from tokenworks.report.progress import progress
    from tokenworks.report.sweep_files import sweep_files, sweep_json
    from tokenworks.report.sweep_text import sweep_text

    factory = load(args.file, site=args.site)
    points = points_of(args, factory)
    folder = Path(args.out or Path("out", folder_name(factory.name), "sweep"))
    refuse_unwritable(folder)
    place = folder / "journal.jsonl"
    if args.fresh:
        place.unlink(missing_ok=True)
    said = "stopping after the points under way; the same command goes on from there (Ctrl-C again: at once)"
    with progress(args.quiet or args.json) as say, asked_to_stop(said) as stop, Journal(place) as journal:
        found = sweep(factory, points, crew_of(args), journal, args.by, bool(args.sample), say, stop)
    whole = len(found.rows) == found.asked
    if found.rows:
        write_together({folder / name: data for name, data in sweep_files(found).items()})
    if args.json:
        print(sweep_json(found))
    elif not args.quiet:
        print(sweep_text(found), end="")
        print(f"Files  {folder}/: sweep.html, sweep.csv, sweep.parquet" if found.rows else "No point is done.")
    return 0 if whole else 130


def points_of(args: argparse.Namespace, factory: Factory) -> list[Changes]:
    """What is asked for. Raises InputError, SpecError for a path that does not exist."""
    from tokenworks.errors import InputError
    from tokenworks.plan.sweep.axes import axis
    from tokenworks.plan.sweep.points import grid, refuse_twice, sample
    from tokenworks.spec.paths import refuse_unknown

    axes = [axis(text) for text in args.over]
    refuse_twice(axes)
    for one in axes:
        refuse_unknown(factory, one.path)
    if args.random and not args.sample:
        raise InputError("--random belongs to --sample N")
    return sample(axes, args.sample, args.seed, not args.random) if args.sample else grid(axes)
