"""`tokenworks catalog list|show|import`: the facts that everything rests on, with their sources, and a user's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

OWN = """\
Your own entries: put them in a folder with one subfolder per kind (for example mine/models/my-model.toml) and name it
in the environment variable TOKENWORKS_CATALOG (several folders as in PATH). All verbs then know them by their ids.
`tokenworks catalog import config.json --out mine/models/my-model.toml` writes a model's entry from its Hugging Face
config.json; any other entry is best begun as a copy of what `tokenworks catalog show KIND/ID --toml` prints."""


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "catalog",
        help="list and show catalogue facts with their sources, import a model",
        epilog=OWN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="list|show|import", required=True)
    listing = actions.add_parser("list", help="list kinds, or the entries of a kind")
    listing.add_argument("kind", nargs="?", help="accelerators, systems, models … (all kinds without it)")
    showing = actions.add_parser("show", help="show one entry: unit, status, date and source of each fact")
    showing.add_argument("entry", help="ID, alias or KIND/ID")
    form = showing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--toml", action="store_true", help="the file as it stands, to copy from")
    _register_import(actions)
    parser.set_defaults(run=run)


def _register_import(actions: Any) -> None:
    importing = actions.add_parser(
        "import",
        help="turn a Hugging Face config.json into a model entry",
        epilog=OWN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importing.add_argument("config", type=Path, help="config.json of the checkpoint, or the folder with it")
    importing.add_argument("--id", metavar="NAME", help="id of the entry; without it, from the file or its folder")
    importing.add_argument("--out", metavar="FILE", type=Path, help="write there and not to standard output")


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        return _list(args.kind)
    return _import(args) if args.action == "import" else _show(args)


def _list(kind: str | None) -> int:
    from tokenworks.catalog.show import kind_text, kinds_text

    print(kinds_text() if kind is None else kind_text(kind))
    return 0


def _show(args: argparse.Namespace) -> int:
    from tokenworks.catalog import kinds
    from tokenworks.catalog.show import entry_json, entry_text, entry_toml, find
    from tokenworks.errors import InputError

    if args.entry.rpartition("/")[2].strip(" .") == "":
        raise InputError(
            f"{args.entry!r} names no entry: write ID or KIND/ID. The kinds are {', '.join(kinds())}; "
            "`tokenworks catalog list KIND` gives their ids"
        )
    entry = find(args.entry)
    if args.json:
        print(entry_json(entry))
    else:
        print(entry_toml(entry) if args.toml else entry_text(entry))
    return 0


def _import(args: argparse.Namespace) -> int:
    from tokenworks.catalog.importer import import_config, write_entry

    entry_id, text = import_config(args.config, args.id)
    if args.out is None:
        print(text, end="")
        return 0
    if args.out.stem != entry_id:
        entry_id, text = import_config(args.config, args.id or args.out.stem)
    write_entry(text, args.out, entry_id)
    print(f"{args.out}: model {entry_id}")
    if args.out.parent.name == "models":
        print(f"TOKENWORKS_CATALOG={args.out.parent.parent} makes it known to all verbs")
    return 0
