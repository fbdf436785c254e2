"""`tokenworks schema`: JSON Schema of the factory file, for editors."""

from __future__ import annotations

import argparse
from typing import Any


def register(verbs: Any) -> None:
    parser = verbs.add_parser("schema", help="print the JSON Schema of the factory file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.spec.factory import Factory

    print(json.dumps(Factory.model_json_schema(by_alias=True), indent=1))
    return 0
