"""`tokenworks schema`: JSON Schema of the factory file or the demand file, for editors."""

from __future__ import annotations

import argparse
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("schema", help="print the JSON Schema of the factory file, or of a demand file")
    parser.add_argument("file", nargs="?", choices=("factory", "demand"), default="factory", help="which file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.plan.demand import Demand
    from tokenworks.spec.factory import Factory

    part = Demand if args.file == "demand" else Factory
    print(json.dumps(part.model_json_schema(by_alias=True), indent=1))
    return 0
