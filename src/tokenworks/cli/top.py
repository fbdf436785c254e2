"""`tokenworks top URL`: what a running gateway does just now, second by second."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tokenworks.cli.ledger_place import opened

if TYPE_CHECKING:
    from tokenworks.serve.top.window import Reading

KEY = "TOKENWORKS_API_KEY"
TAF_EVERY_S, TAF_OVER_S = 30.0, 3600.0


def register(verbs: Any) -> None:
    parser = verbs.add_parser("top", help="a running gateway in the terminal: tokens/s, latencies, workers, watts, $/h")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000", help="default: http://127.0.0.1:8000")
    parser.add_argument("--every", metavar="TIME", default="1 s", help="between readings (default: 1 s)")
    parser.add_argument(
        "--window", metavar="TIME", default="10 s", help="that rates and latencies are of (default: 10 s)"
    )
    parser.add_argument("--once", action="store_true", help="two readings, one block, done")
    parser.add_argument("--json", action="store_true", help="with --once: as JSON")
    parser.add_argument(
        "--key-env", metavar="NAME", default=KEY, help=f"variable with a key of the scope metrics (default: {KEY})"
    )
    parser.add_argument("--ca", metavar="FILE", help="certificates that https is trusted by (default: the system's)")
    parser.add_argument(
        "--ledger", metavar="PLACE", help="also show amplification (TAF) of the last hour from this ledger"
    )
    parser.add_argument("--segments", metavar="FOLDER", help="of sealed segments (default: beside the file)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C; with --once exit code 2 where the gateway does not answer."""
    from tokenworks.cli.bench_load import seconds
    from tokenworks.errors import InputError
    from tokenworks.serve.bench.asking import key_of
    from tokenworks.serve.top.reach import reading

    every_s, window_s = seconds("--every", args.every), seconds("--window", args.window)
    if not 0 < every_s <= window_s:
        raise InputError(f"--every {args.every} is above 0 and at most --window {args.window}")
    if args.json and not args.once:
        raise InputError("--json goes with --once")
    read = partial(reading, args.url, key_of(args.key_env), args.ca, f"its key is taken from ${args.key_env}")
    return _once(args, read, every_s) if args.once else _watch(args, read, every_s, window_s)


def _once(args: argparse.Namespace, read: Callable[[], Reading], every_s: float) -> int:
    from tokenworks.serve.top.window import now

    before = read()
    time.sleep(every_s)
    found = now(before, read())
    if args.json:
        import json
        from dataclasses import asdict

        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        from tokenworks.report.top_text import top_text

        print(top_text(found, args.url, _taf(args)), end="")
    return 0


def _watch(args: argparse.Namespace, read: Callable[[], Reading], every_s: float, window_s: float) -> int:
    from collections import deque

    from rich.live import Live
    from rich.text import Text

    from tokenworks.errors import TokenworksError
    from tokenworks.report.top_text import top_text
    from tokenworks.serve.top.window import now

    readings: deque[Reading] = deque([read()])
    taf, next_taf_s = "", 0.0
    try:
        with Live(Text("…"), screen=sys.stdout.isatty(), auto_refresh=False) as shown:
            while True:
                began_s = time.monotonic()
                if began_s >= next_taf_s:
                    taf, next_taf_s = _taf(args), began_s + TAF_EVERY_S
                try:
                    readings.append(read())
                    said = top_text(now(_oldest(readings, window_s), readings[-1]), args.url, taf)
                except TokenworksError as error:
                    said = f"{error}\ntrying again; Ctrl-C to leave\n"
                shown.update(Text(said), refresh=True)
                time.sleep(max(0.0, every_s - (time.monotonic() - began_s)))
    except KeyboardInterrupt:
        return 0


def _oldest(readings: Any, window_s: float) -> Reading:
    """The one at the window's begin; older ones are forgotten."""
    while len(readings) > 2 and readings[-1].at_s - readings[1].at_s >= window_s:
        readings.popleft()
    oldest: Reading = readings[0]
    return oldest


def _taf(args: argparse.Namespace) -> str:
    """Of calls that ended in the last hour; "" without a ledger or without runs."""
    if not args.ledger:
        return ""
    from tokenworks.ledger.taf import taf

    with opened(args, read_only=True) as ledger:
        usage = ledger.usage_table(time.time_ns() // 1000 - round(TAF_OVER_S * 1e6))
    found = next(iter(taf(usage, (), resamples=0)), None)
    if found is None or found.taf_processed is None:
        return "TAF –"
    return f"TAF {found.taf_processed.ratio:.3g} (last hour)"
