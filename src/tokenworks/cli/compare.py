"""`tokenworks compare A B …`: factories, plans or results side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import crew_arguments, outcome_arguments, site_argument

if TYPE_CHECKING:
    from tokenworks.plan.compare.sides import Side

FACTORY, RESULT = "factory.yaml", "result.json"


def register(verbs: Any) -> None:
    parser = verbs.add_parser("compare", help="factories, plans or results side by side: what differs, and why")
    parser.add_argument(
        "sides",
        nargs="+",
        metavar="A B …",
        help=f"factory files, examples, folders with {FACTORY} or {RESULT}, or {RESULT}",
    )
    parser.add_argument(
        "--no-swap", action="store_true", help="do not exchange parts of the files to find what matters"
    )
    outcome_arguments(parser, "compare.html", "out/A-against-B")
    crew_arguments(parser)
    site_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.cli.arguments import crew_of
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.run import folder_name
    from tokenworks.errors import InputError
    from tokenworks.plan.compare.compare import compare
    from tokenworks.report.compare_page import compare_json, compare_page
    from tokenworks.report.compare_text import compare_text
    from tokenworks.report.files import refuse_unwritable, write_whole
    from tokenworks.report.progress import progress

    if len(args.sides) < 2:
        raise InputError(f"compare {args.sides[0]} with what? Name a second factory, plan or result")
    made = [side_of(text, args.site) for text in args.sides]  # all are read before any is rehearsed
    folder = Path(args.out or Path("out", folder_name("-against-".join(Path(t).stem for t in args.sides))))
    refuse_unwritable(folder)
    said = "stopping: why they differ is told without exchanging parts (Ctrl-C again: at once)"
    with progress(args.quiet or args.json) as say, asked_to_stop(said) as stop:
        sides = []
        for number, make in enumerate(made):
            say(f"rehearsed {number} of {len(made)} sides")
            sides.append(make())
        found = compare(apart(sides, args.sides), crew_of(args), not args.no_swap, say, stop)
    write_whole(folder / "compare.html", compare_page(found).encode())
    if args.json:
        print(compare_json(found))
    elif not args.quiet:
        print(compare_text(found) + f"\nFiles  {folder}/compare.html")
    return 130 if stop() else 0


def side_of(text: str, site: str | None) -> Any:
    """What makes the side. Raises InputError for what is neither a factory nor a result, SpecError for a wrong file."""
    from functools import partial

    from tokenworks.api import examples, load
    from tokenworks.cli.arguments import refuse_missing
    from tokenworks.errors import InputError
    from tokenworks.plan.compare.sides import Side, rehearsed

    refuse_missing(text, (FACTORY, RESULT))
    path = Path(text)
    if path.is_dir():
        held = next((path / name for name in (FACTORY, RESULT) if (path / name).is_file()), None)
        if held is None:
            raise InputError(f"{text} holds neither {FACTORY} nor {RESULT}")
        path = held
    if path.suffix == ".json" and text not in examples():
        result = _result(path)
        return partial(Side, str(result["factory"]), result)
    factory = load(str(path), site=site)
    return partial(rehearsed, factory.name, factory)


def _result(path: Path) -> dict[str, Any]:
    import json

    from tokenworks.errors import InputError
    from tokenworks.report.files import FORMAT

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path} is no result of `tokenworks run` (no format {FORMAT!r})")
    return found


def apart(sides: list[Side], texts: list[str]) -> list[Side]:
    """Sides of one name are told by what was written on the command line."""
    from dataclasses import replace

    names = [side.name for side in sides]
    if len(set(names)) == len(names):
        return sides
    stems = [Path(t).stem if Path(t).is_file() else t for t in texts]
    named = stems if len(set(stems)) == len(stems) else [f"{n} {chr(65 + i)}" for i, n in enumerate(names)]
    return [replace(side, name=name) for side, name in zip(sides, named, strict=True)]
