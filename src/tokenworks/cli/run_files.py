"""What `tokenworks run` leaves behind: files in its folder, and a ledger where one is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

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


def write_ledger(place: str, done: Rehearsal) -> str:
    """The run's usage events as segments, and its tools as cost events; the same run again is a duplicate and changes nothing."""
    from tokenworks.ledger import Ledger
    from tokenworks.rehearsal.metering import run_key, segments_of

    assert done.metered is not None
    usage, tools = done.metered.usage, done.metered.tools
    with Ledger.open(place) as ledger:
        receipt = ledger.append_run(run_key(done.made.factory), segments_of(usage))
        booked = ledger.append(tools) if receipt.durable else []
    said = f"{receipt.status}{', ' + receipt.note if receipt.note else ''}"
    used = f", {sum(one.durable for one in booked):,} tool costs" if tools else ""
    return f"Ledger  {usage.num_rows:,} events{used}: {said} → {place}\n"


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
