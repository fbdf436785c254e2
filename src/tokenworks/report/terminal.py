"""The terminal report: one screen of 100 columns, the answer first. Symbols carry what colours carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenworks.events.results import RunResult, ServiceResult, Share
from tokenworks.report.figures import seconds, short, six_figures, usd, verdict

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH = 100
BLOCKS = "█▓▒░▚▞"  # told apart without colour
COLOURS = ("blue", "dark_orange", "cyan", "magenta", "yellow", "white")


def render(result: RunResult, width: int = WIDTH) -> str:
    """The report as plain text."""
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    show(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def show(result: RunResult, console: Console) -> None:
    """Print the report to a console."""
    from rich.text import Text

    style = "bold red" if result.overloaded or result.interrupted else "bold"
    console.print(Text(f"{result.factory}: {result.title}", style="bold"))
    console.print(Text(verdict(result), style=style))
    console.print()
    console.print(_figures(result))
    console.print(_services(result))
    console.print(_bar("Where a dollar goes", _money_shares(result), console.width))
    console.print(_bar("Where a joule goes", _joule_shares(result), console.width))
    for line in _notes(result):
        console.print(Text(line, style="dim"))


def _figures(result: RunResult) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(expand=True, padding=(0, 1))
    figures = six_figures(result)
    for _ in figures:
        table.add_column(justify="left")
    table.add_row(*(Text(label, style="dim") for label, _, _ in figures))
    table.add_row(*(Text(value, style="bold") for _, value, _ in figures))
    table.add_row(*(Text(note, style="dim") for _, _, note in figures))
    return table


def _services(result: RunResult) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, expand=True, padding=(0, 1), collapse_padding=True)
    table.add_column("service", no_wrap=True)
    for name in (
        "requests",
        "goodput",
        "TTFT p50/p95/p99",
        "TPOT p50/p95/p99",
        "queue",
        "batch",
        "KV",
        "lost",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for s in result.services:
        table.add_row(*_service_row(s))
    return table


def _service_row(s: ServiceResult) -> tuple[str, ...]:
    lost = s.rejected_queue_full + s.rejected_too_long + s.timed_out
    done = f"{s.within_slo / s.finished:.0%}" if s.finished else "–"
    return (
        s.name,
        short(s.arrived),
        done,
        "/".join(seconds(v).replace(" ", "") for v in (s.ttft.p50_s, s.ttft.p95_s, s.ttft.p99_s)),
        "/".join(seconds(v).replace(" ", "") for v in (s.tpot.p50_s, s.tpot.p95_s, s.tpot.p99_s)),
        short(s.mean_waiting),
        short(s.mean_batch),
        f"{s.kv_use:.0%}",
        short(lost),
    )


def _money_shares(result: RunResult) -> list[tuple[str, float, str]]:
    total = result.money.total_usd or 1.0
    return [(p.label, p.value / total, usd(p.value)) for p in result.money.parts]


def _joule_shares(result: RunResult) -> list[tuple[str, float, str]]:
    """Leaves of the energy tree."""
    parents = {p.parent for p in result.energy.parts}
    leaves: list[Share] = [p for p in result.energy.parts if p.label not in parents]
    total = result.energy.facility_j or 1.0
    return [(p.label, p.value / total, f"{short(p.value / 3.6e6)}kWh") for p in leaves]


def _bar(title: str, shares: list[tuple[str, float, str]], width: int) -> Any:
    """A stacked bar with labels; the largest six parts, the rest together."""
    from rich.text import Text

    ordered = sorted(shares, key=lambda part: -part[1])
    kept = ordered[:5] + ([("other", sum(p[1] for p in ordered[5:]), "")] if len(ordered) > 5 else [])
    text = Text(f"{title:<20}", style="dim")
    room = width - 22
    for i, (_, share, _) in enumerate(kept):
        text.append(BLOCKS[i] * round(share * room), style=COLOURS[i])
    text.append("\n" + " " * 20)
    for i, (label, share, _) in enumerate(kept):
        text.append(BLOCKS[i], style=COLOURS[i])
        text.append(f" {label} {share:.0%}  ", style="dim")
    return text


def _notes(result: RunResult) -> list[str]:
    lines = ["", f"{result.horizon_s:.0f} s of factory time, seed {result.seed}. {result.trace_note}."]
    lines.append(
        f"Tokens per joule: board {short(result.tokens_per_j.value)}, IT {short(result.tokens_per_j_it)}, facility "
        f"{short(result.tokens_per_j_facility)}. Carbon {short(result.carbon_kg)} kg, water {short(result.water_l)} l"
        + (f", stranded {short(result.stranded_w)}W." if result.stranded_w else ".")
    )
    if result.accuracy_note:
        lines.append(result.accuracy_note)
    lines += [f"→ {path}" for path in result.files]
    return lines
