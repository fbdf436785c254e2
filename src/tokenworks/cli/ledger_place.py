"""Which ledger a verb reads: the arguments, and the ledger that they or the environment name."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenworks.ledger import Ledger
    from tokenworks.ledger.clock import Clock

DEFAULT = "ledger.db"
ENVIRONMENT = "TOKENWORKS_LEDGER"


def place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger", metavar="PLACE", help=f"file or postgresql://… (default: ${ENVIRONMENT}, else {DEFAULT})"
    )
    parser.add_argument("--segments", metavar="FOLDER", help="of sealed segments (default: beside the file)")


def place_of(args: argparse.Namespace) -> str:
    return args.ledger or os.environ.get(ENVIRONMENT) or DEFAULT


def opened(args: argparse.Namespace, *, read_only: bool = False, clock: Clock | None = None) -> Ledger:
    """The ledger that the arguments or the environment name. Raises InputError where there is none to read."""
    from pathlib import Path

    from tokenworks.ledger import Ledger

    segments = Path(args.segments) if args.segments else None
    return Ledger.open(place_of(args), read_only=read_only, segments=segments, clock=clock)
