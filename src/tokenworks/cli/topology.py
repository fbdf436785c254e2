"""`tokenworks topology`: the network of a cluster, its parts, watts, dollars and failures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tokenworks.cli.arguments import at_least


def register(verbs: Any) -> None:
    parser = verbs.add_parser("topology", help="the network of a cluster: switches, cables, watts, dollars, failures")
    parser.add_argument("system", metavar="SYSTEM", help="id of a server or rack (`tokenworks catalog list systems`)")
    parser.add_argument("gpus", metavar="GPUS", type=at_least(1), help="how many; rounded up to whole systems")
    parser.add_argument("--fabric", metavar="ID", help="of the network (default: InfiniBand as fast as the adapters)")
    parser.add_argument("--optics", metavar="KIND", help="pluggable or cpo (co-packaged), where the fabric has both")
    parser.add_argument("--layout", metavar="KIND", default="rail", help="rail (default) or fat-tree")
    parser.add_argument(
        "--oversubscription", metavar="N[,N…]", default="1", help="bandwidth down over up, per tier from the leaves"
    )
    parser.add_argument("--planes", metavar="N", type=at_least(1), help="equal networks that share each adapter")
    parser.add_argument("--domain", metavar="GPUS", type=at_least(1), help="size of the scale-up domain, to 576")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="picture: FILE.html (page), FILE.svg or FILE.png (tiers)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.plan.topology import topology
    from tokenworks.report.topology_text import topology_json, topology_text

    found = topology(
        args.system,
        args.gpus,
        args.fabric,
        optics=args.optics,
        layout=args.layout,
        oversubscription=_ratios(args.oversubscription),
        planes=args.planes,
        domain_gpus=args.domain,
    )
    if args.out is not None:
        from tokenworks.report.topology_page import write_picture

        write_picture(found, args.out)
    print(json.dumps(topology_json(found), ensure_ascii=False, indent=1) if args.json else topology_text(found))
    return 0


def _ratios(text: str) -> list[Any]:
    from fractions import Fraction

    from tokenworks.errors import InputError

    try:
        return [Fraction(part.strip()) for part in text.split(",")]
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--oversubscription {text!r}: numbers from the leaves up, for example 2 or 1,4") from None
