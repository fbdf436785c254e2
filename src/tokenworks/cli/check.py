"""`tokenworks check FILE`: is the factory file right, and what does it describe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.physics.fleet import Group


def register(verbs: Any) -> None:
    parser = verbs.add_parser("check", help="check a factory file and say what it describes")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tokenworks.api import load
    from tokenworks.physics.fleet import fleet
    from tokenworks.spec.checks import gpus_of

    factory = load(args.file)
    replicas = fleet(factory)
    room = kv_tokens([group for r in replicas for group in r.groups])
    print(f"{factory.name}: the file is right.")
    for system in factory.systems:
        print(f"  {system.id}: {system.count} x {system.system}, {counted(gpus_of(factory, system), 'GPU')}")
    for r in replicas:
        print(f"  {r.service.name}: {r.service.model} in {r.service.precision} by {r.service.engine}")
        for group in r.groups:
            role = "" if group.role == "serve" else f"{group.role}: "
            workers = f"{counted(group.count, 'worker')} of {counted(group.deployment.gpus, 'GPU')}"
            print(f"    {role}{workers}, each with a KV cache of {room.pop(0):,} tokens")
    for load_ in factory.workload:
        print(f"  {load_.service} is asked by {load_.source}")
    return 0


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"


def kv_tokens(groups: Sequence[Group]) -> list[int]:
    """Tokens of KV cache of one worker, by group. Raises CapacityError that names every model that does not fit."""
    from tokenworks.errors import CapacityError
    from tokenworks.physics.memory import kv_blocks
    from tokenworks.physics.step import Machine

    found, problems = [], []
    for group in groups:
        d = group.deployment
        try:
            found.append(kv_blocks(Machine.of(d, {})) * d.block_tokens * d.dp)
        except CapacityError as error:
            problems.append(str(error))
    if problems:
        raise CapacityError("\n".join(problems))
    return found
