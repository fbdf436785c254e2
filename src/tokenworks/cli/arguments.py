"""Values on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.twin.spread import Crew

MOST_SHOWN = 6  # folders in a message


def at_least(lowest: int) -> Callable[[str], int]:
    """An argparse type: a whole number that is not below ``lowest``."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    return whole


def site_argument(parser: argparse.ArgumentParser) -> None:
    """--site, for verbs that rehearse or explain a factory."""
    parser.add_argument(
        "--site",
        metavar="FILE",
        help="site calibration of `calibrate --with` (default: the factory file's, else the variable TOKENWORKS_SITE)",
    )


def outcome_arguments(parser: argparse.ArgumentParser, page: str, default: str) -> None:
    """--out, --json and --quiet, for verbs that write one page into a folder."""
    parser.add_argument("--out", metavar="FOLDER", help=f"where {page} goes (default: {default})")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="only the page")


def refuse_missing(text: str, holds: tuple[str, ...]) -> None:
    """Raises InputError for what is neither a path nor a shipped example; it names the folders of `out` that hold one of
    the files, the nearest ones first."""
    import difflib
    from pathlib import Path

    from tokenworks.api import examples
    from tokenworks.errors import InputError

    if Path(text).exists() or text in examples():
        return
    made = {place.parent for name in holds for place in Path("out").glob(f"*/{name}")}
    like = {place: difflib.SequenceMatcher(None, Path(text).name, place.name).ratio() for place in made}
    shown = ", ".join(str(place) for place in sorted(made, key=lambda place: (-like[place], place))[:MOST_SHOWN])
    rest = f" and {len(made) - MOST_SHOWN} more" if len(made) > MOST_SHOWN else ""
    there = f". Under out: {shown}{rest}" if made else ""
    raise InputError(f"no such file or folder: {text}. Shipped examples: {', '.join(examples())}{there}")


def value_of(text: str) -> Any:
    """What a field would hold: text as it stands; nothing, null, {…} and […] as in the file. Raises InputError.

    >>> value_of("70% of sustainable"), value_of("null"), value_of("{ttft_p95: 2 s}")
    ('70% of sustainable', None, {'ttft_p95': '2 s'})
    """
    from tokenworks.spec import values

    return values.value_of(text)


def crew_arguments(parser: argparse.ArgumentParser) -> None:
    """--workers and --processes, for verbs that share out work."""
    parser.add_argument(
        "--workers",
        choices=("processes", "ray"),
        default="processes",
        help="processes of this machine, or Ray (needs tokenworks[ray]; a cluster that RAY_ADDRESS names); same bytes",
    )
    parser.add_argument("--processes", type=at_least(1), metavar="N", help="how many at a time (default: all cores)")


def crew_of(args: argparse.Namespace) -> Crew:
    from tokenworks.twin.spread import Crew, cores

    return Crew(args.processes or cores(), args.workers == "ray")
