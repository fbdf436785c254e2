"""Where verbs that rate find usage, costs and outcomes: a ledger, or its exported tables; and a month."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.cli.ledger_place import opened, place_arguments

if TYPE_CHECKING:
    from tokenworks.pricing.measure import Tables

EXPORTS = ("usage", "cost", "outcomes")


def table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accounts", required=True, metavar="FILE", help="accounts and exchange rates (YAML or TOML)")
    source_arguments(parser)
    month_argument(parser)


def source_arguments(parser: argparse.ArgumentParser) -> None:
    place_arguments(parser)
    parser.add_argument("--usage", metavar="PARQUET", help="instead of a ledger its usage columns; a glob is allowed")
    parser.add_argument("--cost", metavar="PARQUET", help="… its cost columns")
    parser.add_argument("--outcomes", metavar="PARQUET", help="… its outcome columns")


def month_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--month", required=True, metavar="YYYY-MM")


def from_exports(args: argparse.Namespace) -> bool:
    """Raises InputError where a ledger is named beside exports: only one of them is read."""
    from tokenworks.errors import InputError

    named = any(getattr(args, key) for key in EXPORTS)
    if named and args.ledger:
        raise InputError("name a ledger (--ledger) or its exported tables (--usage, --cost, --outcomes), not both")
    return named


def tables_of(args: argparse.Namespace) -> Tables:
    """The exported tables that are named, else the whole ledger. Raises InputError for a file that is not there, or no export."""
    if from_exports(args):
        return exported(args)
    from tokenworks.pricing.pinned import tables_of_range

    with opened(args, read_only=True) as ledger:
        return tables_of_range(ledger)


def _require_export(key: str, path: str) -> None:
    import pyarrow
    from pyarrow.parquet import read_schema

    from tokenworks.errors import InputError
    from tokenworks.events import ledger_events

    columns = {
        "usage": ledger_events.USAGE_COLUMNS,
        "cost": ledger_events.COST_COLUMNS,
        "outcomes": ledger_events.OUTCOME_COLUMNS,
    }[key]
    try:
        missing = sorted(set(columns) - set(read_schema(path).names))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"--{key}: {path} is no Parquet file ({str(error).splitlines()[0]})") from None
    if missing:
        raise InputError(f"--{key}: {path} lacks {', '.join(missing)}: no export of a ledger")


def exported(args: argparse.Namespace) -> Tables:
    from glob import glob

    from tokenworks.errors import InputError
    from tokenworks.pricing.measure import Tables

    named = {key: getattr(args, key) for key in EXPORTS}
    for key, path in named.items():
        found = [] if path is None else sorted(glob(path))
        if path is not None and not found:
            raise InputError(f"--{key}: no such file: {path}")
        for one in found:
            _require_export(key, one)
    return Tables(**{key: path and Path(path) for key, path in named.items()})
