"""`tokenworks init`: write a factory file to start from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("init", help="write a commented factory file to start from")
    parser.add_argument("path", nargs="?", default="factory.yaml")
    parser.add_argument("--example", default="nvl72", help="shipped example to start from (default: nvl72)")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.api import examples
    from tokenworks.errors import InputError
    from tokenworks.report.files import said_of, write_whole
    from tokenworks.spec.template import defaults

    known = examples()
    if args.example not in known:
        raise InputError(f"no example {args.example!r}; there are {', '.join(known)}")
    if not args.path:
        raise InputError("write the path of the new file, for example factory.yaml")
    path = Path(args.path)
    with said_of(path):
        taken = path.exists()
    if taken and not args.force:
        raise InputError(f"{path} exists; --force overwrites it")
    write_whole(path, (known[args.example].read_text(encoding="utf-8") + defaults()).encode())
    print(f"wrote {path}; next: tokenworks check {path}")
    return 0
