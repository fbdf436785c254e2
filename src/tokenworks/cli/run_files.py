"""What `tokenworks run` leaves behind: files in its folder, and a ledger where one is named."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.cli.ledger_place import opened

if TYPE_CHECKING:
    from tokenworks.events.results import RunResult
    from tokenworks.pricing.plan import Plan
    from tokenworks.rehearsal import Rehearsal


def write_files(
    folder: Path,
    done: Rehearsal,
    result: RunResult,
    window_s: tuple[float, float] | None,
    keep: bool,
    plan: Plan | None,
) -> tuple[RunResult, str]:
    """All files or none; the result with their names, and what the terminal says of agents. ``window_s``: to be traced."""
    from tokenworks.report.files import to_json, write_together
    from tokenworks.report.html import page
    from tokenworks.report.tables import parquet_bytes, requests_table, timeline_table

    names = [
        "report.html",
        "result.json",
        *(["trace.json"] if window_s else []),
        *(["requests.parquet", "timeline.parquet"] if keep else []),
        *(["agents.html", "usage.parquet"] if done.metered else []),
    ]
    result = replace(result, files=tuple(str(folder / name) for name in names))
    written = {"report.html": page(result).encode(), "result.json": to_json(result).encode()}
    if window_s:
        written["trace.json"] = trace_of(done, window_s).encode()
    if done.log is not None and keep:
        written["requests.parquet"] = parquet_bytes(requests_table(done.requests, done.log, done.result))
        written["timeline.parquet"] = parquet_bytes(timeline_table(done.result))
    agents = ""
    if done.metered is not None:
        pages, agents = agent_files(done, plan)
        written |= pages
    write_together({folder / name: data for name, data in written.items()})
    return result, agents


def agent_files(done: Rehearsal, plan: Plan | None) -> tuple[dict[str, bytes], str]:
    """The page of agents and their usage events, and what the terminal says of them."""
    from tokenworks.report.agent_figures import agent_figures
    from tokenworks.report.agent_page import agent_page
    from tokenworks.report.agent_text import agent_text
    from tokenworks.report.tables import parquet_bytes

    assert done.metered is not None
    note = f"{done.result.horizon_s:,.0f} s of factory time, seed {done.result.seed}"
    found = agent_figures(f"{done.result.factory}: agents", note, done.metered, plan)
    pages = {"agents.html": agent_page(found).encode(), "usage.parquet": parquet_bytes(done.metered.usage)}
    return pages, agent_text(found)


def require_ledger(args: argparse.Namespace) -> None:
    """Raises InputError before a long run where its events would have no place: no ledger can be opened, or no segments folder
    is known."""
    from tokenworks.errors import InputError
    from tokenworks.ledger.sealing import folder_of

    if args.ledger is None:
        if args.segments is not None:
            raise InputError("--segments is the folder of a ledger: name the ledger too (--ledger)")
        return
    with opened(args) as ledger:
        folder_of(ledger)


def write_ledger(args: argparse.Namespace, done: Rehearsal) -> tuple[str, str]:
    """The run's usage events as segments and its tools as cost events, all or none: (what the terminal says, why nothing
    is stored). The same run again is a duplicate and changes nothing; a part of a run is not stored."""
    from tokenworks.rehearsal.booking import run_key, segments_of, singles_of

    assert done.metered is not None
    factory, usage, tools = done.made.factory, done.metered.usage, done.metered.tools
    if done.result.interrupted:
        return "", f"ledger {args.ledger}: the run was interrupted; a part of a run is not stored"
    with opened(args) as ledger:
        place = ledger.store.place
        receipt = ledger.append_run(run_key(factory), segments_of(factory, usage), singles_of(factory, tools))
    if not receipt.durable:
        return "", f"ledger {place}: nothing of the run is stored, {receipt.status}: {receipt.note}"
    used = f", {len(tools):,} tool costs" if tools else ""
    noted = f", {receipt.note}" if receipt.note else ""
    return f"Ledger  {usage.num_rows:,} events{used}: {receipt.status}{noted} → {place}\n", ""


def trace_of(done: Rehearsal, window_s: tuple[float, float]) -> str:
    """The trace of a window, and a word where it was too long to be kept whole."""
    from tokenworks.report.perfetto import trace
    from tokenworks.report.window import lives_of, steps_of

    assert done.steps is not None
    assert done.log is not None
    if done.steps.lost:
        kept = len(done.steps.end)
        print(
            f"the trace keeps the first {kept:,} steps of its window, {done.steps.lost:,} more are missing",
            file=sys.stderr,
        )
    return trace(steps_of(done.steps, done.workers), lives_of(done.requests, done.log, done.services, window_s))
