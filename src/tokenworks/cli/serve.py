"""`tokenworks serve FILE`: an OpenAI-compatible gateway in front of the factory's engines, or of emulated ones."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from tokenworks.cli.keys import ENVIRONMENT as KEYS
from tokenworks.cli.ledger_place import opened, place_arguments, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
        "--processes", type=int, default=0, metavar="N",
        help="gateway processes on the port, beside one that owns an SQLite ledger (default: all in this process)",
    )  # fmt: skip
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM), read again as it changes")
    parser.add_argument("--tls-key", metavar="FILE", help="its key (PEM)")
    parser.add_argument("--reload", action="store_true", help="take the file over when it changes, not only at SIGHUP")
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
    from tokenworks.serve.http.loop import run_loop

    factory = load(args.file)
    if not _keys(args) and args.host not in LOOPBACK:
        raise InputError(f"--host {args.host} lets others in: give them keys (`tokenworks keys add`, then --keys FILE)")
    if bool(args.tls_cert) != bool(args.tls_key):
        raise InputError("--tls-cert and --tls-key go together")
    code: int = run_loop(_several(args, factory) if args.processes else _alone(args, factory))
    return code


def _keys(args: argparse.Namespace) -> str | None:
    return args.keys or os.environ.get(KEYS) or None


def _certificate(args: argparse.Namespace, factory: Factory) -> tuple[str, str] | None:
    """Files of chain and key, from the arguments or the factory file."""
    rules = factory.serve
    chain, key = args.tls_cert or rules.tls_cert, args.tls_key or rules.tls_key
    return (chain, key) if chain and key else None


def _greeting(args: argparse.Namespace, factory: Factory, port: int, more: str = "") -> None:
    scheme = "https" if _certificate(args, factory) else "http"
    names = ", ".join(s.name for s in factory.services)
    print(f"{scheme}://{args.host}:{port}/v1 serves {names}; ledger {place_of(args)}{more}", flush=True)


def _budgets(args: argparse.Namespace) -> Place:
    from pathlib import Path

    from tokenworks.serve.limits.start import Place, beside

    place = beside(place_of(args))
    return Place(place.base, Path(args.reservations)) if args.reservations else place


async def _alone(args: argparse.Namespace, factory: Factory) -> int:
    """Gateway, ledger and emulated engines in this process."""
    import asyncio
    from contextlib import AsyncExitStack
    from pathlib import Path

    from tokenworks.ledger import GroupCommit
    from tokenworks.serve.access.keys import KeyRing
    from tokenworks.serve.building import services_of, upstreams_of
    from tokenworks.serve.http.tls import Certificate
    from tokenworks.serve.start import Door, front
    from tokenworks.serve.steer.start import steered

    keys, files = _keys(args), _certificate(args, factory)
    ring, certificate = KeyRing(Path(keys)) if keys else None, Certificate(*map(Path, files)) if files else None
    factories: asyncio.Queue[Factory] = asyncio.Queue()
    async with AsyncExitStack() as stack:
        if args.emulate:
            from tokenworks.serve.emulate.start import emulated

            upstreams = await stack.enter_async_context(emulated(factory, args.speed, args.streams))
        else:
            upstreams = upstreams_of(factory)
        services = services_of(factory, upstreams)
        group = await stack.enter_async_context(GroupCommit(stack.enter_context(opened(args))))
        await stack.enter_async_context(steered(factory, services, args.speed if args.emulate else 0.0))  # stops last
        door = Door(
            args.host, args.port, certificate=certificate, factories=factories, budgets=_budgets(args),
            emulated=args.emulate,
        )  # fmt: skip
        listening = await stack.enter_async_context(front(factory, services, group, ring, door))
        await _until_asked(args, lambda: _greeting(args, factory, listening.port), factories.put_nowait)
    return 0


async def _several(args: argparse.Namespace, factory: Factory) -> int:
    """This process watches over others."""
    from pathlib import Path

    from tokenworks.errors import InputError
    from tokenworks.serve.access.keys import KeyRing
    from tokenworks.serve.building import services_of, upstreams_of
    from tokenworks.serve.http.tls import Certificate
    from tokenworks.serve.processes.supervisor import Wanted, supervised

    if factory.serve.fleets or any(s.scaled for s in factory.services):
        raise InputError(f"{args.file}: replicas that are scaled need one gateway process: leave --processes away")
    keys, files = _keys(args), _certificate(args, factory)
    if keys:
        KeyRing(Path(keys))
    if files:
        Certificate(*map(Path, files))
    if not args.emulate:
        services_of(factory, upstreams_of(factory))  # what is wrong is said once, here
    wanted = Wanted(
        factory, args.processes, args.host, args.port, place_of(args), args.segments, _budgets(args), keys, files,
        (args.speed, args.streams) if args.emulate else None,
    )  # fmt: skip
    async with supervised(wanted) as supervisor:
        gateways = f"; {args.processes} gateway process{'es' if args.processes > 1 else ''}"
        await _until_asked(
            args, lambda: _greeting(args, factory, supervisor.port, gateways), supervisor.take_over, supervisor.keep()
        )
    return 0


async def _until_asked(
    args: argparse.Namespace, said: Callable[[], None], take: Callable[[Factory], None], ended: Any = None
) -> None:
    import asyncio
    import logging
    from pathlib import Path

    from tokenworks.api import load
    from tokenworks.serve.http.loop import until_asked
    from tokenworks.serve.reloading import checked, watch

    def again() -> None:
        if args.emulate:
            logging.getLogger("tokenworks.serve").error("emulated engines stay as they are: start anew")
        elif factory := checked(lambda: load(args.file)):
            take(factory)

    watching = asyncio.ensure_future(watch(Path(args.file), again)) if args.reload else None
    try:
        await until_asked(said, again, ended)
    finally:
        if watching:
            watching.cancel()
    print("stopping", flush=True)
