"""`tokenworks serve FILE`: an OpenAI-compatible gateway in front of the factory's engines, or of emulated ones."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from tokenworks.cli.keys import ENVIRONMENT as KEYS
from tokenworks.cli.ledger_place import opened, place_arguments, place_of

if TYPE_CHECKING:
    from tokenworks.serve.keys import KeyRing
    from tokenworks.serve.limits.start import Place
    from tokenworks.spec.factory import Factory

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def register(verbs: Any) -> None:
    parser = verbs.add_parser("serve", help="answer OpenAI's API from the factory's engines, every token metered")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine only; others need --keys")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any that is free")
    parser.add_argument(
        "--emulate", action="store_true", help="emulate the engines: the twin's worker models in real time"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="of emulated time against real time (default: 1)")
    parser.add_argument(
        "--streams", type=int, default=0, metavar="N",
        help="emulated answers at a time, at most (default: as many as the workers batch)",
    )  # fmt: skip
    parser.add_argument("--keys", metavar="FILE", help=f"API keys (default: ${KEYS}; none: whoever reaches the port)")
    parser.add_argument(
        "--reservations", metavar="FOLDER",
        help="of this machine's journals of budgets (default: beside the ledger's file, or ./tokenworks-reservations)",
    )  # fmt: skip
    place_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C or SIGTERM; answers in progress then have the time that serve.drain gives them."""
    import logging

    from tokenworks.api import load
    from tokenworks.errors import InputError

    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    try:
        import httptools  # noqa: F401
    except ImportError:
        raise InputError("`tokenworks serve` needs the extra serve: pip install 'tokenworks[serve]'") from None
    from tokenworks.serve.start import run_loop

    factory, ring = load(args.file), _ring(args)
    if ring is None and args.host not in LOOPBACK:
        raise InputError(f"--host {args.host} lets others in: give them keys (`tokenworks keys add`, then --keys FILE)")
    code: int = run_loop(_serve(args, factory, ring))
    return code


def _ring(args: argparse.Namespace) -> KeyRing | None:
    from pathlib import Path

    from tokenworks.serve.keys import KeyRing

    file = args.keys or os.environ.get(KEYS)
    return KeyRing(Path(file)) if file else None


def _budgets(args: argparse.Namespace) -> Place:
    from pathlib import Path

    from tokenworks.serve.limits.start import Place, beside

    place = beside(place_of(args))
    return Place(place.base, Path(args.reservations)) if args.reservations else place


async def _serve(args: argparse.Namespace, factory: Factory, ring: KeyRing | None) -> int:
    from contextlib import AsyncExitStack

    from tokenworks.serve.building import services_of, upstreams_of
    from tokenworks.serve.start import gateway, until_asked

    async with AsyncExitStack() as stack:
        if args.emulate:
            from tokenworks.serve.emulate.start import emulated

            upstreams = await stack.enter_async_context(emulated(factory, args.speed, args.streams))
        else:
            upstreams = upstreams_of(factory)
        services = services_of(factory, upstreams)
        ledger = stack.enter_context(opened(args))
        listening = await stack.enter_async_context(
            gateway(factory, services, ledger, ring, args.host, args.port, _budgets(args))
        )

        def said() -> None:
            names = ", ".join(s.name for s in services)
            print(f"http://{args.host}:{listening.port}/v1 serves {names}; ledger {place_of(args)}", flush=True)

        await until_asked(said)
        print("stopping", flush=True)
    return 0
