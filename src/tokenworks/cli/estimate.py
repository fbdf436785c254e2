"""`tokenworks estimate`: explain one point, where each millisecond and joule of a step goes."""

from __future__ import annotations

import argparse
from typing import Any

from tokenworks.cli.arguments import site_argument


def register(verbs: Any) -> None:
    parser = verbs.add_parser("estimate", help="explain one prefill and one decode step of a service")
    parser.add_argument("file", help="factory file, or the name of a shipped example")
    parser.add_argument("--service", help="which service (default: the first)")
    parser.add_argument("--batch", type=int, default=64, help="decode sequences per attention rank (default: 64)")
    parser.add_argument("--context", type=int, default=2048, help="tokens of context of each (default: 2048)")
    parser.add_argument("--prompt", type=int, default=2048, help="tokens of a prefill step (default: 2048)")
    site_argument(parser)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.api import load
    from tokenworks.errors import InputError
    from tokenworks.physics.explain import explain
    from tokenworks.physics.fleet import fleet, site_note
    from tokenworks.report.estimate import estimate_json, estimate_text

    factory = load(args.file, site=args.site)
    replicas = fleet(factory)
    names = [r.service.name for r in replicas]
    if args.service not in (None, *names):
        raise InputError(f"no service {args.service!r}; there are {', '.join(names)}")
    for key in ("batch", "context", "prompt"):
        if getattr(args, key) < 1:
            raise InputError(f"--{key} must be at least 1")
    chosen = replicas[names.index(args.service) if args.service else 0]
    found = explain(chosen.deployment, args.batch, args.context, args.prompt)
    print(json.dumps(estimate_json(found), ensure_ascii=False, indent=1) if args.json else estimate_text(found))
    if factory.calibration and not args.json:
        print(f"\n{site_note(factory, replicas)}")
    return 0
