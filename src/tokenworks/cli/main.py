"""`tokenworks VERB …`: parses, runs the verb, turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from tokenworks.cli import (
    bench,
    budget,
    calibrate,
    catalog,
    check,
    compare,
    estimate,
    init,
    invoice,
    keys,
    ledger,
    plan,
    pnl,
    price,
    reconcile,
    rehearse,
    roadmap,
    run,
    schema,
    serve,
    showback,
    sweep,
    taf,
    top,
    topology,
    upgrade,
    validate,
)
from tokenworks.errors import CatalogError, ConservationError, InputError

VERBS = (
    init, check, run, plan, roadmap, sweep, compare, upgrade, topology, estimate, catalog, ledger, taf,
    showback, budget, price, invoice, reconcile, pnl, serve, keys, top, bench, rehearse, validate, calibrate,
    schema,
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="tokenworks",
        description="An AI factory in Python: describe it, run it on a virtual clock, see tokens, latency, dollars, watts.",
    )
    top.add_argument("--version", action="version", version=f"tokenworks {_version()}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.register(verbs)
    return top


def _version() -> str:
    from importlib.metadata import version

    return version("tokenworks")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input or no room, 70 a defect of Tokenworks, 130 interrupted."""
    speak_anywhere()
    try:
        return _run(argv)
    except (InputError, CatalogError) as error:
        return _fail(str(error), 2)
    except ConservationError as error:
        return _fail(f"internal error, please report: {error}", 70)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except MemoryError as error:
        return _fail(f"not enough memory for this: {error}", 2)
    except BrokenPipeError:
        _hang_up(sys.stdout)
        return 0
    except OSError as error:
        _hang_up(sys.stdout)
        return _fail(f"the system refuses: {error}", 2)


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = parser().parse_args(plan.with_make(sys.argv[1:] if argv is None else argv))
        code: int = args.run(args)
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def speak_anywhere() -> None:
    """Closed streams swallow what is said; characters that a terminal lacks become question marks."""
    if sys.stdout is None:
        sys.stdout = io.StringIO()
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _hang_up(stream: TextIO) -> None:
    """Let nothing be written to a broken stream, at exit least of all."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int) -> int:
    """Says why, where somebody listens; the code stays the same where nobody does."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        _hang_up(sys.stderr)
    return code
