"""`tokenworks upgrade FILE`: what newer hardware would give this factory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tokenworks.cli.arguments import crew_arguments, outcome_arguments, site_argument


def register(verbs: Any) -> None:
    parser = verbs.add_parser("upgrade", help="what newer systems would give: same GPUs, power, dollars, demand")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument(
        "--to", nargs="+", metavar="SYSTEM", help="systems of the catalogue (default: one per newer accelerator)"
    )
    parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], help="change a field of the factory first"
    )
    outcome_arguments(parser, "upgrade.html", "out/NAME")
    crew_arguments(parser)
    site_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks import catalog
    from tokenworks.api import load
    from tokenworks.cli.arguments import crew_of, value_of
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.run import folder_name, pairs_of
    from tokenworks.plan.upgrade.candidates import newer
    from tokenworks.plan.upgrade.run import upgrade
    from tokenworks.report.files import refuse_unwritable, write_whole
    from tokenworks.report.progress import progress
    from tokenworks.report.upgrade_page import upgrade_json, upgrade_page
    from tokenworks.report.upgrade_text import upgrade_text

    factory = load(args.file, site=args.site)
    if args.set:
        factory = factory.replace_all({path: value_of(text) for path, text in pairs_of(args.set, "--set")})
    chosen = list(dict.fromkeys(catalog.load("systems", name).id for name in args.to)) if args.to else newer(factory)
    folder = Path(args.out or Path("out", folder_name(factory.name)))
    refuse_unwritable(folder)
    said = "stopping: nothing is written (Ctrl-C again: at once)"
    with progress(args.quiet or args.json) as say, asked_to_stop(said) as stop:
        found = upgrade(factory, chosen, crew_of(args), say, stop)
    if found is None:
        return 130
    write_whole(folder / "upgrade.html", upgrade_page(found).encode())
    if args.json:
        print(upgrade_json(found))
    elif not args.quiet:
        print(upgrade_text(found) + f"\nFiles  {folder}/upgrade.html")
    return 0
