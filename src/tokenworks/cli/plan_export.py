"""`tokenworks plan export`: files that real orchestrators run."""

from __future__ import annotations

import argparse
from typing import Any

PLANNED = "factory.yaml"  # in the folder of a plan


def register(verbs: Any) -> None:
    """Adds the sub-command to what ``add_subparsers`` of the verb `plan` returned."""
    parser = verbs.add_parser("export", help="write the files with which real orchestrators run a factory")
    parser.add_argument("file", help="factory file, folder of a plan, or the name of a shipped example")
    parser.add_argument(
        "--to",
        required=True,
        metavar="TARGET",
        help="vllm, sglang, tensorrt-llm, dynamo, llm-d, kserve, nim, compose or kubernetes",
    )
    parser.add_argument("--service", metavar="NAME", help="only this service (default: all)")
    parser.add_argument("--out", metavar="FOLDER", help="where the files go (default: out/FACTORY/TARGET)")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="SERVICE=PATH",
        help="checkpoint of a service, a path or a repository; SERVICE:draft for its draft model (default: /models/…)",
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="SERVICE=IMAGE", help="container image of a service"
    )
    parser.add_argument(
        "--node-gpus", type=int, default=0, metavar="N", help="GPUs of one host (default: the catalogue's)"
    )
    parser.add_argument("--json", action="store_true", help="what became of every setting, as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from tokenworks.api import load
    from tokenworks.cli.arguments import refuse_missing
    from tokenworks.cli.run import folder_name
    from tokenworks.errors import InputError
    from tokenworks.plan.export import Options, export
    from tokenworks.report.files import plain, write_together
    from tokenworks.report.plan_export import export_text

    if args.node_gpus < 0:
        raise InputError(f"--node-gpus must be at least 1, not {args.node_gpus}")
    refuse_missing(args.file, (PLANNED,))
    given = Path(args.file)
    factory = load(given / PLANNED if (given / PLANNED).is_file() else args.file)
    options = Options(pairs(args.weights, "--weights"), pairs(args.image, "--image"), args.node_gpus)
    made = export(factory, args.to, args.service, options)
    folder = Path(args.out or Path("out", folder_name(factory.name), args.to))
    write_together({folder / name: content for name, content in made.files.items()})
    told = {"folder": str(folder), "files": list(made.files), "settings": plain(made.settings)}
    print(json.dumps(told, ensure_ascii=False, indent=1) if args.json else export_text(made, str(folder)))
    return 0


def pairs(texts: list[str], flag: str) -> dict[str, str]:
    """SERVICE=VALUE of a repeated flag. Raises InputError for one that is no pair."""
    from tokenworks.errors import InputError

    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"{flag} wants SERVICE=VALUE, not {text!r}")
        found[name] = value
    return found
