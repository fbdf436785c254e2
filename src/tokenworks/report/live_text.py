"""Twin and live side by side, as text of at most 80 columns and as JSON types."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tokenworks.events.ledger_events import MICRO
from tokenworks.rehearsal.live.compare import Comparison, Side
from tokenworks.rehearsal.live.lines import DRIFT, NOT_JUDGED, OK, UNSURE, Line
from tokenworks.report.figures import band, percent, seconds, short, span, usd
from tokenworks.report.files import plain

WIDTH = 80
LEAST_SHOWN = 5e-4  # of a difference: what is less would read as a zero with a sign
FORMAT = "tokenworks-live-1"
MARKS = {OK: "✓", UNSURE: "~", DRIFT: "✗", NOT_JUDGED: " "}
WRITTEN: dict[str, Callable[[float], str]] = {"s": seconds, "share": percent, "USD/Mtok": usd}


def live_text(found: Comparison) -> str:
    """The verdict first, then the figures of each service."""
    parts = [*_wrapped(verdict(found)), *_wrapped(traffic(found)), *_wrapped(left_out(found))]
    for side in found.sides:
        parts += ["", *_table(side)]
    parts += ["", *_wrapped(legend(found))]
    for note in dict.fromkeys(side.note for side in found.sides):
        parts += _wrapped(note)
    return "\n".join(parts) + "\n"


def verdict(found: Comparison) -> str:
    """One sentence: does live behave as the twin says."""
    if not found.live.timed:
        return f"{found.live.place} has no latencies: below is what the twin of {found.factory} makes of it."
    drifted, unsure = found.lines(DRIFT), found.lines(UNSURE)
    if drifted:
        said = "; ".join(_said(service, line) for service, line in drifted[:4])
        more = f"; and {len(drifted) - 4} more" if len(drifted) > 4 else ""
        return f"✗ DRIFT: live is not what the twin of {found.factory} says: {said}{more}."
    if unsure:
        said = "; ".join(_said(service, line) for service, line in unsure[:4])
        return f"⚠ No drift for certain: beyond the bounds, but within what the model itself may be off by: {said}."
    judged = sum(line.state == OK for side in found.sides for line in side.lines)
    if not judged:
        return f"⚠ Too little traffic to judge: {sum(s.requests for s in found.sides):,} requests."
    return f"✓ No drift: live is what the twin of {found.factory} says, in all {judged} figures that were judged."


def _said(service: str, line: Line) -> str:
    return f"{line.what} of {service} {line.difference:+.0%} (bound {line.bound:.0%})".replace("-", "−")


def traffic(found: Comparison) -> str:
    live = found.live
    when = (
        datetime.fromtimestamp(live.begin_us / MICRO, UTC).strftime("from %Y-%m-%d %H:%M:%S UTC, ")
        if live.begin_us
        else ""
    )
    warm = f", the first {seconds(found.warmup_s)} not compared" if found.warmup_s else ""
    cached = "; prompts share what was cached live" if found.caches else ""
    return f"{len(live.requests):,} requests of {live.place}, {when}{seconds(found.span_s)}{warm}{cached}"


def left_out(found: Comparison) -> str:
    said = ", ".join(f"{count:,} {why}" for why, count in found.live.left_out)
    return f"not replayed: {said}" if said else ""


def legend(found: Comparison) -> str:
    where = "at the engine" if found.live.inside else "at the caller"
    return (
        f"Latencies are those {where}, of the same requests on both sides. ✓ within its bound, ~ beyond it but within the "
        "model's 80% interval, ✗ beyond both: drift."
    )


def _table(side: Side) -> list[str]:
    head = f"{side.service[:20]}: {side.requests:,} requests, {side.finished[0]:,} ended live, {side.finished[1]:,} in the twin"
    rows = [head, f"  {'':18}{'live':>11}{'twin':>11}  {'80% of the twin':<18}{'live/twin':>10}{'bound':>7}"]
    return rows + [_row(line) for line in side.lines]


def _row(line: Line) -> str:
    live, twin, interval, difference, bound = cells(line)
    return f"{MARKS[line.state]} {line.what:18}{live:>11}{twin:>11}  {interval:<18}{difference:>10}{bound:>7}".rstrip()


def cells(line: Line) -> tuple[str, str, str, str, str]:
    """Live, twin, its interval, the difference, the bound."""
    write = WRITTEN.get(line.unit, short)
    known = line.difference == line.difference
    sure = line.twin.low != line.twin.high and line.twin.value == line.twin.value
    interval = (span(line.twin) if line.unit == "s" else band(line.twin, write)) if sure else ""
    moved = 0.0 if abs(line.difference) < LEAST_SHOWN else line.difference
    difference = f"{moved:+.1%}".replace("-", "−") if known else "–"
    return write(line.live), write(line.twin.value), interval, difference, f"{line.bound:.0%}" if line.bound else "–"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)


def live_json(found: Comparison) -> dict[str, Any]:
    """Without the rows of requests."""
    live = found.live
    return {
        "format": FORMAT,
        "factory": found.factory,
        "drift": bool(found.lines(DRIFT)),
        "verdict": verdict(found),
        "traffic": {
            "place": live.place, "requests": len(live.requests), "begin_us": live.begin_us or None, "span_s": found.span_s,
            "warmup_s": found.warmup_s, "left_out": dict(live.left_out), "latencies": "engine" if live.inside else "caller",
        },
        "services": [
            {
                "service": s.service, "requests": s.requests, "finished_live": s.finished[0],
                "finished_twin": s.finished[1], "accuracy_note": s.note,
                "lines": [{**plain(line), "difference": plain(line.difference)} for line in s.lines],
            }
            for s in found.sides
        ],
    }  # fmt: skip
