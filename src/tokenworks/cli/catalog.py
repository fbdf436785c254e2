"""`tokenworks catalog list|show`: the facts that everything rests on, with their sources."""

from __future__ import annotations

import argparse
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("catalog", help="list and show catalogue facts with their sources")
    actions = parser.add_subparsers(dest="action", metavar="list|show", required=True)
    listing = actions.add_parser("list", help="list kinds, or the entries of a kind")
    listing.add_argument("kind", nargs="?")
    showing = actions.add_parser("show", help="show one entry with unit, status, date and source of each fact")
    showing.add_argument("entry", help="ID or KIND/ID")
    showing.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        return _list(args.kind)
    return _show(args.entry, args.json)


def _list(kind: str | None) -> int:
    from tokenworks import catalog

    for name in [kind] if kind else catalog.kinds():
        known = catalog.ids(name)
        if kind is None:
            print(f"{name} ({len(known)}): {', '.join(known[:6])}{' …' if len(known) > 6 else ''}")
            continue
        for entry_id in known:
            print(f"{entry_id:28} {catalog.load(name, entry_id).name}")
    return 0


def _show(wanted: str, as_json: bool) -> int:
    from tokenworks.catalog.show import entry_json, entry_text, find

    entry = find(wanted)
    print(entry_json(entry) if as_json else entry_text(entry))
    return 0
