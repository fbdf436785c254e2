"""`tokenworks check FILE`: is the factory file right, and what does it describe."""

from __future__ import annotations

import argparse
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("check", help="check a factory file and say what it describes")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.api import load
    from tokenworks.cli.fit import fit_findings, kv_tokens, trace_text_findings
    from tokenworks.physics.fleet import fleet
    from tokenworks.spec.checks import gpus_of

    factory = load(args.file, lambda made: (*fit_findings(made), *trace_text_findings(made)))
    replicas = fleet(factory)
    print(f"{factory.name}: the file is right.")
    for system in factory.systems:
        print(f"  {system.id}: {system.count} x {system.system}, {counted(gpus_of(factory, system), 'GPU')}")
    for r in replicas:
        print(f"  {r.service.name}: {r.service.model} in {r.service.precision} by {r.service.engine}")
        for group in r.groups:
            role = "" if group.role == "serve" else f"{group.role}: "
            workers = f"{counted(group.count, 'worker')} of {counted(group.deployment.gpus, 'GPU')}"
            print(f"    {role}{workers}, each with a KV cache of {kv_tokens(group.deployment):,} tokens")
    for load_ in factory.workload:
        print(f"  {load_.service} is asked by {load_.source}")
    return 0


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
