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
    from tokenworks.spec.checks import fixed_gpus, gpus_of

    factory = load(args.file)
    print(f"{factory.name}: the file is right.")
    for system in factory.systems:
        print(f"  {system.id}: {system.count} x {system.system}, {gpus_of(factory, system)} GPUs")
    for service in factory.services:
        gpus = fixed_gpus(service)
        share = f"{gpus} GPUs" if gpus else "all GPUs that are left"
        print(f"  {service.name}: {service.model} in {service.precision} by {service.engine} on {share}")
    for load_ in factory.workload:
        source = load_.trace or (load_.arrivals.kind if load_.arrivals else "")
        print(f"  {load_.service} is asked by {source}")
    return 0
