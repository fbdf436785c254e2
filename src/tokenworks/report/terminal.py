"""The terminal report: one screen of 100 columns, the answer first. Symbols carry what colours carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenworks.events.results import RunResult, ServiceResult, WhatIf
from tokenworks.report.bars import Part, labels, leaves, stacked
from tokenworks.report.figures import Figure, percent, short, six_figures, triple, unit, usd
from tokenworks.report.scaled import lines as scaled_lines
from tokenworks.report.tried import advice_note, advice_title, mark, tried
from tokenworks.report.verdict import service_lines, state, verdict

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

WIDTH = 100
INDENT = 20  # of everything under the two bars
STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red"}
COLOURS = ("blue", "dark_orange", "cyan", "magenta", "yellow", "white")
GREY = "bright_black"


def render(result: RunResult, width: int = WIDTH) -> str:
    """The report as plain text, without trailing blanks; never wider than `WIDTH`."""
    import io

    from rich.console import Console

    file = io.StringIO()
    show(result, Console(file=file, width=width, no_color=True, highlight=False))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def show(result: RunResult, console: Console) -> None:
    """Print the report to a console."""
    width = min(console.width, WIDTH)
    for part in _parts(result, width):
        console.print(part, width=width, soft_wrap=False)


def _parts(result: RunResult, width: int) -> list[RenderableType]:
    from rich.text import Text

    return [
        Text(f"{result.factory}: {result.title}", style="bold"),
        Text(verdict(result), style=STYLES[state(result)]),
        *(_named(name, said) for name, said in service_lines(result)),
        Text(),
        *_figures(result, width),
        _services(result, width),
        *(Text(line) for of in result.scaled for line in scaled_lines(of)),
        *_what_ifs(result),
        *_bar("Where a dollar goes", _dollars(result), width),
        *_bar("Where a joule goes", _joules(result), width),
        Text(),
        *(Text(line, style=GREY) for line in _notes(result)),
        *(Text(f"→ {path}") for path in result.files),
    ]


def _named(name: str, said: str) -> RenderableType:
    from rich.text import Text

    return _indented(Text(f"{name}: {said}"))


def _indented(text: Text) -> RenderableType:
    from rich.padding import Padding

    return Padding(text, (0, 0, 0, 2))


def _figures(result: RunResult, width: int) -> list[RenderableType]:
    """All six in a row, or three and three where the screen is narrow."""
    figures = six_figures(result)
    needed = sum(max(map(len, (f.label, f.value, f.interval, f.note))) + 1 for f in figures) - 1
    return (
        [_row_of_figures(figures)] if width >= needed else [_row_of_figures(figures[:3]), _row_of_figures(figures[3:])]
    )


def _row_of_figures(figures: list[Figure]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in figures:
        table.add_column(justify="left", no_wrap=True)
    table.add_row(*(Text(f.label) for f in figures))
    table.add_row(*(Text(f.value, style="bold") for f in figures))
    table.add_row(*(Text(f.interval, style=GREY) for f in figures))
    table.add_row(*(Text(f.note, style=GREY) for f in figures))
    return table


# title, and the narrowest screen that still shows the column
_COLUMNS = (
    ("reqs", 0),
    ("in SLO", 0),
    ("TTFT p50/95/99", 0),
    ("TPOT p50/95/99", 0),
    ("queue", 84),
    ("KV", 84),
    ("hits", 98),
    ("preempt", 98),
    ("lost", 84),
)


def _services(result: RunResult, width: int) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("service", no_wrap=True, overflow="ellipsis", max_width=14)
    shown = [i for i, (_, least) in enumerate(_COLUMNS) if width >= least]
    for i in shown:
        table.add_column(_COLUMNS[i][0], justify="right", no_wrap=True)
    for s in result.services:
        cells = _service_row(s)
        table.add_row(s.name, *(cells[i] for i in shown))
    return table


def _service_row(s: ServiceResult) -> tuple[str, ...]:
    return (
        short(s.arrived),
        percent(s.within_slo / s.finished) if s.finished else "–",
        triple((s.ttft.p50_s, s.ttft.p95_s, s.ttft.p99_s)),
        triple((s.tpot.p50_s, s.tpot.p95_s, s.tpot.p99_s)),
        short(s.mean_waiting),
        percent(s.kv_use),
        percent(s.cached_tokens / s.input_tokens) if s.input_tokens else "–",
        short(s.preemptions),
        short(s.rejected_queue_full + s.rejected_too_long + s.timed_out),
    )


def _dollars(result: RunResult) -> list[Part]:
    return [Part(p.label, p.value, usd(p.value)) for p in result.money.parts]


def _joules(result: RunResult) -> list[Part]:
    return [Part(p.label, p.value, unit(p.value / 3600, "Wh")) for p in leaves(result.energy.parts)]


def _bar(title: str, parts: list[Part], width: int) -> list[Text]:
    """A stacked bar and its labels, in blocks that differ without colour."""
    from rich.text import Text

    if not parts:
        return []
    bar = Text(f"{title:<{INDENT}}")
    for block, count, colour in stacked(parts, width - INDENT, COLOURS):
        bar.append(block * count, style=colour)
    lines = [bar]
    for row in labels(parts, width - INDENT):
        line = Text(" " * INDENT)
        for block, said, i in row:
            line.append(block, style=COLOURS[i]).append(f" {said}  ")
        lines.append(line)
    return lines


def _what_ifs(result: RunResult) -> list[RenderableType]:
    """Advice of the twin, and changes that were asked for."""
    from rich.text import Text

    note = _indented(Text(advice_note(result), style=GREY))
    found: list[RenderableType] = [Text(advice_title(result)), *_tried(result.advice), note, Text()]
    if result.what_ifs:
        found += [Text("What if, as asked"), *_tried(result.what_ifs), Text()]
    return found


def _tried(changes: tuple[WhatIf, ...]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid(padding=(0, 1, 0, 0))
    for i, change in enumerate(changes, 1):
        rows.add_row(f"  {i}.", mark(change), Text(tried(change)))
    return [rows] if changes else []


def _notes(result: RunResult) -> list[str]:
    money = result.money
    lines = [f"{result.horizon_s:,.0f} s of factory time, seed {result.seed}. {result.trace_note.rstrip('.')}."]
    idle = money.idle_usd / money.total_usd if money.total_usd else 0.0
    lines.append(
        f"Cost of the run {usd(money.total_usd)}, {percent(idle)} of it for idle GPU time; "
        f"carbon {unit(result.carbon_kg * 1000, 'g')}, water {short(result.water_l)} l"
        + (f"; {unit(result.stranded_w, 'W')} of the budget are stranded." if result.stranded_w else ".")
    )
    return [line for line in (*lines, result.accuracy_note) if line]
