"""Values on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


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


def value_of(text: str) -> Any:
    """What a field would hold: text as it stands; nothing, null, {…} and […] as in the file. Raises InputError.

    >>> value_of("70% of sustainable"), value_of("null"), value_of("{ttft_p95: 2 s}")
    ('70% of sustainable', None, {'ttft_p95': '2 s'})
    """
    import yaml

    from tokenworks.errors import InputError

    if text.strip() not in ("", "null", "~") and not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{text} is not valid YAML: {getattr(error, 'problem', None) or error}") from None
