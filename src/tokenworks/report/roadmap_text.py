"""A roadmap in the terminal, within 80 columns: the answer, what to do when, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenworks.plan.fleet.result import RoadmapResult, Step
from tokenworks.report.figures import per_second, percent, seconds, short, unit

WIDTH = 80


def roadmap_text(found: RoadmapResult, files: Sequence[str] = ()) -> str:
    return "\n".join([*_lines(found), *([f"\nfiles: {', '.join(files)}"] if files else [])]) + "\n"


def verdict(found: RoadmapResult) -> str:
    bought = total(found, "bought")
    said = ", ".join(f"{count:,} {name}" for name, count in bought.items()) or "nothing"
    above = f"{'at most ' if found.gap >= 5e-4 else ''}{percent(found.gap)}"
    return f"{said}; ${short(found.npv_usd)} today, {above} above the least possible"


def total(found: RoadmapResult, what: str) -> dict[str, int]:
    """Systems by name over all periods: bought, sold."""
    counts: dict[str, int] = {}
    for step in found.steps:
        for name, count in getattr(step, what).items():
            counts[name] = counts.get(name, 0) + count
    return counts


def moves(step: Step) -> str:
    """What to do at the start of a period.

    >>> moves(Step("2027-01", {}, {}, {}, {"hgx-b200": 2}, {"hgx-h100": 1}, {}, 0.0, {}, 0.0))
    '+2 hgx-b200, −1 hgx-h100'
    """
    came = [f"+{count:,} {name}" for name, count in step.bought.items()]
    return ", ".join(came + [f"−{count:,} {name}" for name, count in step.sold.items()])


def _lines(found: RoadmapResult) -> Iterator[str]:
    yield f"{found.name}: {len(found.steps)} {found.period}s of {found.demand}"
    yield f"✓ {verdict(found)}\n"
    yield f"{'from':8}{'req/s':>9}{'systems':>9}{'power':>9}{'spent':>9}{'$/Mtok':>8}  what to do"
    for step in found.steps:
        spent = sum(step.usd.values())
        line = (
            f"{step.month:8}{per_second(sum(step.demand_s.values())):>9}{sum(step.there.values()):>9,}"
            f"{unit(step.power_w, 'W'):>9}{'$' + short(spent):>9}{step.usd_per_mtok:>8.3g}  "
        )
        yield from _wrapped(line, moves(step) or "–")
    yield f"\nLeft at the end: ${short(found.value_usd)}. Rented systems use other people's power."
    yield "\nRehearsed in the twin under the demand's own workload:"
    for seen in found.seen:
        yield f"  {seen.service} on {seen.system}: {seen.configuration}"
        less = "" if seen.believed == 1 else f"; counted on {percent(seen.believed)} of the wide pass"
        yield (
            f"    {seen.units:,} of them at {per_second(seen.rate_s)} req/s: TTFT p95 {seconds(seen.ttft_p95_s)}, "
            f"TPOT p95 {seconds(seen.tpot_p95_s)}{less}"
        )
    yield from found.notes


def _wrapped(line: str, said: str) -> Iterator[str]:
    """The moves behind a line, further ones under them."""
    room, row = WIDTH - len(line), ""
    for part in said.split(", "):
        if row and len(row) + len(part) + 2 > room:
            yield line + row + ","
            line, row = " " * len(line), ""
        row = f"{row}, {part}" if row else part
    yield line + row
