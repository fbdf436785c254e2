"""`tokenworks rehearse TRAFFIC FACTORY.yaml`: real traffic replayed in the twin; an alarm where live drifts from it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import site_argument
from tokenworks.errors import InputError

if TYPE_CHECKING:
    from tokenworks.rehearsal.live.compare import Comparison
    from tokenworks.rehearsal.live.lines import Bounds
    from tokenworks.rehearsal.live.recorded import Live
    from tokenworks.spec.factory import Factory

DRIFTED = 1  # the exit code of the alarm
FILES = ("rehearse.html", "rehearse.json")
WARMUP_SHARE = 0.1  # of the traffic: the twin begins empty, live did not
EXITS = "Exit codes: 0 no drift, 1 drift (with --strict also what is beyond its bound alone), 2 bad input."


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "rehearse", help="replay real traffic in the twin, lay live beside it, alarm on drift", epilog=EXITS
    )
    parser.add_argument(
        "traffic", metavar="LEDGER|TRACE",
        help="ledger (file, postgresql://…), its usage as .parquet or .jsonl, requests.csv of bench, or a trace",
    )  # fmt: skip
    parser.add_argument("file", metavar="FACTORY", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="of a ledger: calls that ended from this time on")
    parser.add_argument("--to", dest="end", metavar="TIME", help="… and before this one, e.g. 2026-03-01T12:00:00Z")
    parser.add_argument("--segments", metavar="FOLDER", help="sealed segments of a ledger (default: beside the file)")
    parser.add_argument("--tenant", metavar="NAME", help="of a ledger: events of this tenant alone")
    parser.add_argument("--service", metavar="NAME", help="whom a trace asks (default: the only service)")
    parser.add_argument("--warmup", metavar="TIME", help="replayed and not compared (default: a tenth of the traffic)")
    parser.add_argument(
        "--bound", metavar="NAME=SHARE", action="append", default=[],
        help="most: throughput=5%%, p50=10%%, tail=25%% (p95, p99), queue=25%%, energy=10%%, cost=20%% (the defaults)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="alarm at the bounds, also within the model's own 80%% interval"
    )
    parser.add_argument("--out", metavar="FOLDER", help=f"also write {' and '.join(FILES)}")
    parser.add_argument("--json", action="store_true", help="print the JSON, nothing else")
    site_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.api import load
    from tokenworks.report.files import refuse_unwritable
    from tokenworks.report.live_text import live_json, live_text

    factory, bounds = load(args.file, site=args.site), _bounds(args.bound)
    if args.out:
        refuse_unwritable(Path(args.out))
    found = _compared(args, factory, bounds)
    if args.out:
        _write(Path(args.out), found)
    if args.json:
        print(json.dumps(live_json(found), ensure_ascii=False, indent=1, allow_nan=False))
    else:
        sys.stdout.write(live_text(found))
    return DRIFTED if _alarm(found, args.strict) else 0


def _compared(args: argparse.Namespace, factory: Factory, bounds: Bounds) -> Comparison:
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.rehearse_traffic import live_of
    from tokenworks.rehearsal.live.compare import compare
    from tokenworks.rehearsal.live.replay import replay
    from tokenworks.report.progress import progress

    with (
        progress(quiet=args.json) as say,
        asked_to_stop("stopping: nothing is compared (Ctrl-C again: at once)") as stop,
    ):
        say("reading the traffic")
        live = live_of(args, factory)
        warmup_s = _warmup_s(args.warmup, live)
        return compare(live, replay(live, factory, say, stop), warmup_s, bounds)


def _alarm(found: Comparison, strict: bool) -> bool:
    from tokenworks.rehearsal.live.lines import DRIFT, UNSURE

    return bool(found.lines(DRIFT) or (strict and found.lines(UNSURE)))


def _write(folder: Path, found: Comparison) -> None:
    import json

    from tokenworks.report.files import write_together
    from tokenworks.report.live_page import live_page
    from tokenworks.report.live_text import live_json

    texts = (live_page(found), json.dumps(live_json(found), ensure_ascii=False, indent=1, allow_nan=False))
    write_together({folder / name: text.encode() for name, text in zip(FILES, texts, strict=True)})


def _warmup_s(text: str | None, live: Live) -> float:
    from tokenworks.spec.quantities import SECONDS, parse

    if text is None:
        return WARMUP_SHARE * live.requests.span_s
    try:
        return parse(text, SECONDS, "60 s")
    except ValueError as error:
        raise InputError(f"--warmup: {error}") from None


def _bounds(texts: list[str]) -> Bounds:
    from dataclasses import fields

    from tokenworks.rehearsal.live.lines import Bounds
    from tokenworks.spec.quantities import SHARE, parse

    names, found = [field.name for field in fields(Bounds)], dict[str, float]()
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            raise InputError(f"--bound {text}: write NAME=SHARE with one of {', '.join(names)}, for example p50=10%")
        try:
            found[name] = parse(value, SHARE, "10%")
        except ValueError as error:
            raise InputError(f"--bound {name}: {error}") from None
    return Bounds(**found)
