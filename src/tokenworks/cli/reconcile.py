"""`tokenworks reconcile`: a provider's bill beside the ledger."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tokenworks.cli.ledger_place import opened, place_arguments


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "reconcile", help="compare a provider's bill with the ledger: what differs, and by how much"
    )
    parser.add_argument(
        "bill", type=Path, nargs="+", help="the provider's export: JSON or CSV; usage and costs together"
    )
    place_arguments(parser)
    parser.add_argument("--export", type=Path, help="instead of a ledger its export: .parquet, .jsonl or .ndjson")
    parser.add_argument("--provider", required=True, choices=("openai", "anthropic", "focus"))
    parser.add_argument(
        "--model", action="append", default=[], metavar="OURS=THEIRS", help="a model that the bill calls otherwise"
    )
    parser.add_argument(
        "--all-providers", action="store_true", help="compare all models, not only this provider's calls"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where something differs or stands on one side alone."""
    import json

    from tokenworks.ledger.bills.read import read_bill
    from tokenworks.ledger.bills.reconcile import ledger_money, ledger_usage, reconcile

    usage = _of_provider(_usage(args), args)
    names = _names(args.model)
    ours = ledger_usage(usage, models=names)
    models = sorted({row.model for row in ours})
    bill = [row for path in args.bill for row in read_bill(path, args.provider, models)]
    found = reconcile(ours, bill, ledger_money(usage, models=names))
    if args.json:
        print(json.dumps(_plain(found), ensure_ascii=False, indent=1))
    else:
        from tokenworks.report.reconcile import reconcile_text

        print(reconcile_text(found))
    return 0 if found.clean else 1


def _usage(args: argparse.Namespace) -> Any:
    """All usage of the ledger, or of its export. Raises InputError where both are named."""
    from tokenworks.errors import InputError
    from tokenworks.ledger.exports import read_usage

    if args.export and args.ledger:
        raise InputError("name a ledger (--ledger) or its export (--export), not both")
    if args.export:
        return read_usage(args.export)
    with opened(args, read_only=True) as ledger:
        return ledger.usage_table()


def _of_provider(usage: Any, args: argparse.Namespace) -> Any:
    """The calls of the bill's provider; all of them for a cloud's bill, which names no provider."""
    if args.provider == "focus" or args.all_providers:
        return usage
    import pyarrow.compute as compute

    return usage.filter(compute.equal(usage.column("provider"), args.provider))


def _names(pairs: list[str]) -> dict[str, str]:
    from tokenworks.errors import InputError

    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--model {pair!r} is not OURS=THEIRS")
    return dict(pair.split("=", 1) for pair in pairs)


def _plain(found: Any) -> dict[str, Any]:
    """Money as text: exact, in any reader."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain
