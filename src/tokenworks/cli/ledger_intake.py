"""`tokenworks ledger ingest|serve|aside`: events in, by file, by pipe and over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tokenworks.cli.ledger_place import opened, place_of

if TYPE_CHECKING:
    from threading import Event

    from tokenworks.ledger.clock import Clock
    from tokenworks.ledger.ingest.http import Server
    from tokenworks.ledger.ingest.records import Context
    from tokenworks.ledger.taking_in import Taken

FORMATS = ("native", "cloudevents", "openai", "anthropic", "litellm", "otlp", "vllm")  # of ingest.parse, a test says
OPEN = ("source", "tenant", "provider", "model", "time")  # what records may leave open
PORT = 4318  # where OTLP/HTTP is expected


def ingest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="file of records, one a line; - reads the standard input")
    parser.add_argument("--format", choices=FORMATS, default="native", help="of the lines (default: native)")
    parser.add_argument("--recorded", action="store_true", help="the 49,334 recorded agent requests, as an example")
    parser.add_argument("--again", action="store_true", help="try once more what was kept aside, each in its format")
    _open_arguments(parser)
    parser.set_defaults(run=ingest)


def serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help=f"0 takes a free one (default: {PORT})")
    _open_arguments(parser)
    parser.set_defaults(run=serve)


def _open_arguments(parser: argparse.ArgumentParser) -> None:
    for name in OPEN:
        parser.add_argument(f"--{name}", default="", help=f"{name} of records that state none")
    parser.add_argument("--year", type=int, help="of log lines that print month and day alone")


def _context(args: argparse.Namespace) -> Context:
    from tokenworks.ledger.ingest.records import Context

    return Context(**{name: getattr(args, name) for name in OPEN}, year=args.year)


def ingest(args: argparse.Namespace) -> int:
    """Exit code 2 where something is kept aside that waits to be mended."""
    import json

    import msgspec

    taken = _taken(args)
    found = msgspec.structs.asdict(taken)
    said = ", ".join(f"{count:,} {name}" for name, count in found.items() if count) or "nothing to store"
    print(json.dumps(found) if args.json else said)
    return 2 if taken.aside else 0


def _taken(args: argparse.Namespace) -> Taken:
    import sys

    from tokenworks.errors import InputError
    from tokenworks.ledger.taking_in import take_in, take_in_again

    if bool(args.file) + args.again + args.recorded != 1:
        raise InputError("ledger ingest needs a file, or - for the standard input, or --again, or --recorded")
    with contextlib.ExitStack() as stack:
        lines = sys.stdin.buffer
        if args.file and args.file != "-":
            lines = stack.enter_context(open(args.file, "rb"))
        ledger = stack.enter_context(opened(args, clock=_timeless() if args.recorded else None))
        if args.again:
            return take_in_again(ledger, _context(args))
        if args.recorded:
            return take_in(ledger, _recorded(), "recording")
        return take_in(ledger, lines, args.file, args.format, _context(args))


def _timeless() -> Clock:
    """Dates of the recording are made up: no clock can be ahead of them."""
    from tokenworks.ledger.clock import Clock

    return Clock(flag_s=10**10, limit_s=10**10)


def _recorded() -> Iterator[bytes]:
    """The recorded requests as lines of a file."""
    import msgspec

    from tokenworks.workload.agents.recorded_usage import recorded_usage

    return (msgspec.json.encode(event) for event in recorded_usage())


def serve(args: argparse.Namespace) -> int:
    """Until Ctrl-C or SIGTERM; what was acknowledged is durable, what was not may be sent again."""
    from threading import Thread

    from tokenworks.ledger.serving import serving

    with (
        opened(args) as ledger,
        serving(ledger, (args.host, args.port), _context(args)) as server,
        _asked_to_stop() as asked,
    ):
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        print(f"listening at http://{args.host}:{server.server_address[1]}, ledger {place_of(args)}", flush=True)
        asked.wait()
        return _stopped(server, thread)


def _stopped(server: Server, thread: Any) -> int:
    done = server.stop()
    thread.join()
    print("stopped" if done else "stopped; some requests were not answered and may be sent again", flush=True)
    return 0


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts as usual."""
    from threading import Event

    asked = Event()

    def ask(number: int, _frame: Any) -> None:
        asked.set()
        signal.signal(number, before[number])

    signals: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number in signals:
            signal.signal(number, before[number])


def aside(args: argparse.Namespace) -> int:
    """What waits to be mended, and how many records only restate tokens of others."""
    import json

    from tokenworks.ledger.quarantine import RESTATED, held, waiting

    with opened(args, read_only=True) as ledger:
        lines, restated = waiting(ledger), len(held(ledger, RESTATED))
    if args.json:
        rows = [{"origin": a.origin, "line": a.line, "format": a.format, "reason": a.reason} for a in lines]
        print(json.dumps({"aside": rows, "restated": restated}, ensure_ascii=False))
        return 0
    for line in lines:
        print(f"{line.origin}:{line.line}  {line.reason}")
    print(f"{len(lines)} lines kept aside; {restated} restate what other records hold")
    return 0
