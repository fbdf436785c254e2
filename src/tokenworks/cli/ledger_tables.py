"""Arguments that name a ledger's tables and a month, for verbs that rate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenworks.pricing.measure import Tables


def table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accounts", required=True, metavar="FILE", help="accounts and exchange rates (YAML or TOML)")
    parser.add_argument("--usage", metavar="PARQUET", help="usage columns of the ledger; a glob is allowed")
    parser.add_argument("--cost", metavar="PARQUET", help="cost columns of the ledger")
    parser.add_argument("--outcomes", metavar="PARQUET", help="outcome columns of the ledger")
    parser.add_argument("--month", required=True, metavar="YYYY-MM")


def tables_of(args: argparse.Namespace) -> Tables:
    """Raises InputError for a file that is not there, or none at all."""
    from glob import glob

    from tokenworks.errors import InputError
    from tokenworks.pricing.measure import Tables

    named = {key: getattr(args, key) for key in ("usage", "cost", "outcomes")}
    for key, path in named.items():
        if path is not None and not glob(path):
            raise InputError(f"--{key}: no such file: {path}")
    if not any(named.values()):
        raise InputError("name at least one table: --usage, --cost or --outcomes")
    return Tables(**{key: path and Path(path) for key, path in named.items()})
