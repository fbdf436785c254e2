"""`tokenworks keys add|list|revoke|audit`: who may ask the gateway, and who let them."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tokenworks.serve.access.keys import Key

DEFAULT = "keys.json"
ENVIRONMENT = "TOKENWORKS_KEYS"


def register(verbs: Any) -> None:
    parser = verbs.add_parser("keys", help="API keys of the gateway: add, list, revoke, audit")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    add = _task(tasks, "add", "make a key; its text is shown once and kept nowhere")
    add.add_argument("--tenant", required=True, help="whose tokens they are")
    add.add_argument("--name", default="", help="what the key is for")
    add.add_argument("--scope", action="append", metavar="SCOPE", help="infer (default), metrics or admin; repeatable")
    add.add_argument("--service", action="append", default=[], metavar="NAME", help="that it may ask (default: all)")
    add.add_argument("--expires", metavar="TIME", help="from now, e.g. 30 d (default: never)")
    add.add_argument("--rpm", type=int, default=0, metavar="N", help="requests per minute (default: no limit)")
    add.add_argument("--tpm", type=int, default=0, metavar="N", help="tokens per minute (default: no limit)")
    add.add_argument("--concurrency", type=int, default=0, metavar="N", help="calls at a time (default: no limit)")
    add.set_defaults(run=_add)
    _task(tasks, "list", "whose keys there are, and their state").set_defaults(run=_list)
    revoke = _task(tasks, "revoke", "end a key; a running gateway knows within a second or two")
    revoke.add_argument("id", help="as `keys list` shows it")
    revoke.set_defaults(run=_revoke)
    audit = _task(tasks, "audit", "check the log of admin actions beside the key file")
    audit.add_argument("--log", metavar="FILE", help="another audit log")
    audit.set_defaults(run=_audit)


def _task(tasks: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = tasks.add_parser(name, help=text)
    parser.add_argument("--keys", metavar="FILE", help=f"key file (default: ${ENVIRONMENT}, else {DEFAULT})")
    parser.add_argument("--json", action="store_true")
    return parser


def path_of(args: argparse.Namespace) -> Path:
    from pathlib import Path

    return Path(args.keys or os.environ.get(ENVIRONMENT) or DEFAULT)


def _add(args: argparse.Namespace) -> int:
    import json

    from tokenworks.serve.access.keys import add

    key, text = add(
        path_of(args), args.tenant, name=args.name, scopes=tuple(args.scope or ("infer",)),
        services=tuple(args.service), lives_s=_seconds(args.expires),
        rpm=args.rpm, tpm=args.tpm, concurrency=args.concurrency,
    )  # fmt: skip
    print(json.dumps({**_row(key), "key": text}) if args.json else text)
    return 0


def _seconds(text: str | None) -> float:
    from tokenworks.errors import InputError
    from tokenworks.spec.quantities import SECONDS, parse

    if text is None:
        return 0.0
    try:
        lives_s = parse(text, SECONDS, "30 d")
    except ValueError as error:
        raise InputError(f"--expires: {error}") from None
    if lives_s < 1:
        raise InputError(f"--expires {text}: at least 1 s from now")
    return lives_s


def _list(args: argparse.Namespace) -> int:
    import json

    from tokenworks.serve.access.keys import load

    rows = [_row(key) for key in load(path_of(args))]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    print(f"{'id':12}  {'state':8}  {'tenant':20}  {'scopes':14}  name")
    for row in rows:
        scopes = ",".join([*row["scopes"], *row["services"]])
        print(f"{row['id']:12}  {row['state']:8}  {row['tenant']:20}  {scopes:14}  {row['name']}".rstrip())
    return 0


def _revoke(args: argparse.Namespace) -> int:
    import json

    from tokenworks.serve.access.keys import revoke

    key = revoke(path_of(args), args.id)
    print(json.dumps(_row(key)) if args.json else f"revoked {key.id} of {key.tenant}")
    return 0


def _audit(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from tokenworks.serve.access.audit import beside, verified

    path = Path(args.log) if args.log else beside(path_of(args))
    count, last = verified(path)
    print(json.dumps({"actions": count, "last_sha256": last}) if args.json else f"{count} actions, whole; last {last}")
    return 0


def _row(key: Key) -> dict[str, Any]:
    """A key without its hash."""
    from time import time

    return {
        "id": key.id, "state": key.state(time()), "tenant": key.tenant, "name": key.name, "scopes": list(key.scopes),
        "services": list(key.services), "created_s": key.created_s, "expires_s": key.expires_s,
        "rpm": key.rpm, "tpm": key.tpm, "concurrency": key.concurrency,
    }  # fmt: skip
