"""`tokenworks run FILE`: rehearse a factory on the virtual clock and report."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import site_argument

if TYPE_CHECKING:
    from tokenworks.events.results import RunResult
    from tokenworks.pricing.plan import Plan
    from tokenworks.spec.factory import Factory


def register(verbs: Any) -> None:
    parser = verbs.add_parser("run", help="rehearse a factory on the virtual clock and report")
    parser.add_argument("file", help="factory file (YAML), or the name of a shipped example")
    parser.add_argument("--out", metavar="FOLDER", help="where report.html and result.json go (default: out/NAME)")
    site_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress, no report; only the files")
    parser.add_argument("--requests", action="store_true", help="also write requests.parquet and timeline.parquet")
    parser.add_argument(
        "--set", metavar="PATH=VALUE", action="append", default=[], help="change a field, e.g. run.seed=3"
    )
    parser.add_argument(
        "--what-if",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="also rehearse the factory with this change and compare, e.g. services.chat.precision=fp8 (repeatable)",
    )
    parser.add_argument(
        "--no-advice", action="store_true", help="try no changes: the report then does not say what would help most"
    )
    parser.add_argument(
        "--trace", metavar="FROM:TO", help="steps and requests of a window for ui.perfetto.dev, e.g. 60s:65s"
    )
    parser.add_argument(
        "--plan", metavar="PLAN", help="price plan (YAML) that agents' usage is billed under: revenue and margin"
    )
    parser.add_argument(
        "--ledger", metavar="PLACE", help="write a usage event per request into this ledger, as sealed segments"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.cli.run_files import write_files, write_ledger
    from tokenworks.rehearsal import rehearse
    from tokenworks.rehearsal.advice import advise
    from tokenworks.rehearsal.what_if import what_ifs
    from tokenworks.report.files import refuse_unwritable, to_json
    from tokenworks.report.progress import progress

    factory = asked_for(args)
    plan = plan_of(args.plan, factory)
    changes = pairs_of(args.what_if, "--what-if")
    for path, value in changes:
        factory.replace(path, value)  # what is wrong is said before anything runs
    window_s = window(args.trace, factory.run.horizon_s)
    folder = Path(args.out or Path("out", folder_name(factory.name)))
    refuse_unwritable(folder)
    keep = args.requests or factory.run.record_requests
    if args.requests or args.trace:
        factory = factory.replace("run.record_requests", True)
    with progress(quiet=args.quiet or args.json) as say, asked_to_stop() as stop:
        done = rehearse(factory, say, stop, window_s, metering=args.ledger is not None)
        result = done.result if args.no_advice else advise(done, say, stop)
        if changes and not (result.interrupted or stop()):
            result = replace(result, what_ifs=what_ifs(factory, result, changes, say, stop, done.metered))
    result, agents = write_files(folder, done, result, window_s if args.trace else None, keep, plan)
    booked = write_ledger(args.ledger, done) if args.ledger and done.metered else ""
    if args.json:
        print(to_json(result))
    elif not args.quiet:
        print_report(result)
        print(agents + booked, end="")
    return 130 if result.interrupted or stop() else 0


def asked_for(args: argparse.Namespace) -> Factory:
    """The factory of the file, with the fields that were set."""
    from tokenworks.api import load
    from tokenworks.cli.arguments import value_of

    factory = load(args.file, site=args.site)
    if args.set:
        factory = factory.replace_all({path: value_of(text) for path, text in pairs_of(args.set, "--set")})
    return factory


def plan_of(path: str | None, factory: Factory) -> Plan | None:
    """The price plan. Raises InputError for one that nothing is metered for."""
    from tokenworks.errors import InputError
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.reading import read
    from tokenworks.rehearsal.agents import has_agents

    if path is None:
        return None
    if not has_agents(factory):
        raise InputError("--plan bills what agents use: no workload of this factory has agents")
    return read(path, Plan)


def print_report(result: RunResult) -> None:
    """Colours in a terminal, plain text without trailing blanks in a pipe."""
    from tokenworks.report.terminal import render, show

    if sys.stdout.isatty():
        from rich.console import Console

        show(result, Console(highlight=False))
    else:
        print(render(result), end="")


def folder_name(factory: str) -> str:
    """A factory's name as the name of one folder, whatever is written in it.

    >>> folder_name("../../Größe 1"), folder_name("")
    ('Größe-1', 'factory')
    """
    return re.sub(r"[^\w.-]+", "-", factory).strip("-.")[:60] or "factory"


def pairs_of(texts: list[str], option: str) -> list[tuple[str, str]]:
    """PATH=VALUE, split. Raises InputError."""
    from tokenworks.errors import InputError

    for text in texts:
        if "=" not in text:
            raise InputError(f"{option} {text}: write PATH=VALUE, for example run.seed=3")
    return [(path, value) for path, _, value in (text.partition("=") for text in texts)]


def window(text: str | None, horizon_s: float) -> tuple[float, float]:
    """The seconds of FROM:TO; (0, 0) for none. Raises InputError."""
    from tokenworks.errors import InputError
    from tokenworks.spec.quantities import SECONDS, parse

    if text is None:
        return 0.0, 0.0
    try:
        first, _, last = text.partition(":")
        window_s = parse(first, SECONDS, "60 s"), parse(last, SECONDS, "65 s")
    except ValueError as error:
        raise InputError(f"--trace {text}: {error}; write a window as 60s:65s") from error
    if not window_s[0] < window_s[1] <= horizon_s:
        raise InputError(f"--trace {text}: the window must be ordered and lie within the horizon of {horizon_s:g} s")
    return window_s
