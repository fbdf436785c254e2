"""Tables of the accuracy page, in Markdown: errors by slice, what was left out, worst cases, reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tokenworks.accuracy.experiments import DISAGGREGATED
from tokenworks.accuracy.left_out import Errors, LeftOut
from tokenworks.accuracy.rivals import VERSION, rival_rows
from tokenworks.accuracy.slices import Answered, reasons, served, sliced, worst_groups
from tokenworks.accuracy.splits import distinct
from tokenworks.accuracy.tables import METRICS, covered, errors_of, pairs
from tokenworks.accuracy.validate import OK

HEADS = ("output tokens/s/GPU", "TPOT mean", "TPOT median", "TTFT mean", "TTFT median", "J/output token")
RIVAL = f"NVIDIA AIConfigurator {VERSION}"
NOT_YET = "not measured yet"
LEFT_OUT = (
    ("points", "points left out"),
    ("groups", "groups left out"),
    ("accelerators", "accelerators left out"),
    ("models", "models left out"),
    ("sweeps", "sweeps with 5 points known"),
)
FEW = 10  # rows below which a cell says its own number
LEAST = 3  # rows of a group that is named
SHOWN = 16  # slices of a table
RATES, FIRST = ("throughput", "tpot mean", "tpot median"), ("ttft mean", "ttft median")


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table; the first ``left`` columns are words, the others figures."""
    rules = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rules, *rows))


def _cell(errors: Errors, metric: str) -> str:
    found = errors.get(metric)
    if not found:
        return "–"
    few = f", n={found['rows']:.0f}" if found["rows"] < FEW else ""
    return f"{found['median']:.1f} / {found['p90']:.0f} ({_signed(found['bias'])}){few}"


def _signed(percent: float) -> str:
    return f"{round(percent):+}".replace("-", "−")


def _line(name: str, count: int, errors: Errors) -> list[str]:
    return [name, f"{count:,}", *(_cell(errors, metric) for metric in METRICS)]


def _most(errors: Errors) -> int:
    """Rows of the metric that most of them print."""
    return max((int(found["rows"]) for found in errors.values()), default=0)


def _errors(name: str, rows: Sequence[Answered]) -> list[list[str]]:
    """One line for rows of which any can be held against a figure."""
    held = [row for row in rows if pairs(*row)]
    return [_line(name, len(held), errors_of(held))] if held else []


def headline(rows: Sequence[Answered]) -> str:
    """What the shipped calibration predicts, by what is known of the rows."""
    held = [(m, a) for m, a in rows if m.split == "validation"]
    once = distinct([m for m, _ in held])
    stated = [(m, a) for (m, a), first in zip(held, once, strict=True) if first and a.status == OK]
    parts: tuple[tuple[str, Callable[[Answered], bool]], ...] = (
        ("of these, nothing assumed", lambda row: row[1].status == OK),
        ("of these, something assumed", lambda row: row[1].status != OK),
        ("of these, disaggregated", lambda row: served(row[0].row) == DISAGGREGATED),
        ("of these, MTP or EAGLE", lambda row: row[0].row.spec_decoding in ("mtp", "eagle")),
    )
    lines = [*_errors("validation, distinct, nothing assumed", stated), *_errors("validation as printed", held)]
    lines += _errors("all rows that can be predicted", rows)
    for name, keep in parts:
        lines += _errors(name, [row for row in rows if keep(row)])
    return markdown(("", "rows", *HEADS), lines)


def left_out_table(found: LeftOut) -> str:
    """What it predicts where it has not looked; models apart by their attention, where calibration says so."""
    lines = []
    for kind, name in LEFT_OUT:
        errors = found.kinds.get(kind)
        lines.append(_line(name, _most(errors), errors) if errors else [name, NOT_YET, *[""] * len(METRICS)])
        for (of, by, part), own in found.slices.items():
            if of == kind == "models" and by == "kind of model":
                lines.append(_line(f"of these, {part}", _most(own), own))
    return markdown(("", "rows", *HEADS), lines)


def left_out_slices(found: LeftOut, by: str) -> str:
    """Each accelerator or model, predicted by a calibration that knew none of its measurements."""
    kind = by + "s"
    lines = [
        _line(name, _most(errors), errors)
        for (of, what, name), errors in found.slices.items()
        if (of, what) == (kind, by)
    ]
    lines.sort(key=lambda line: -int(line[1].replace(",", "")))
    return markdown((f"{by} left out", "rows", *HEADS), lines[:SHOWN]) if lines else f"{kind} left out: {NOT_YET}."


def slices_table(rows: Sequence[Answered], by: str) -> str:
    """Errors by what rows share, largest slices first, what is left as one line."""
    found = [(name, part) for name, part in sliced(rows, by).items() if errors_of(part)]
    lines = [line for name, part in found[:SHOWN] for line in _errors(name, part)]
    rest = [row for _, part in found[SHOWN:] for row in part]
    lines += _errors(f"{len(found) - SHOWN} others", rest) if rest else []
    return markdown((by, "rows", *HEADS), lines)


def coverage_table(rows: Sequence[Answered]) -> str:
    """Percent of measured means inside their 80% interval, by kind of load."""
    parts: Mapping[str, Sequence[Answered]] = {"all": rows, **sliced(rows, "mode")}
    lines = []
    for name, part in parts.items():
        inside = covered(part)
        if any(inside.values()):
            lines.append([name, *(_share(inside[metric]) for metric in ("throughput", "tpot", "ttft", "energy"))])
    return markdown(("load", "throughput", "TPOT", "TTFT", "J/output token"), lines)


def _share(inside: Sequence[bool]) -> str:
    return f"{100 * sum(inside) / len(inside):.0f} of {len(inside):,} rows" if inside else "–"


def worst_table(rows: Sequence[Answered]) -> str:
    """The groups that are furthest off, with the reason where it is known."""
    lines = []
    for metrics, name, count in ((RATES, "rate", 12), (FIRST, "TTFT", 6)):
        for g in worst_groups(rows, metrics, least=LEAST, count=count):
            off = f"{g.median:.0f} ({_signed(g.bias)})"
            lines.append([name, *g.name, off, f"{g.rows:,}", g.cause or "not known"])
    return markdown(("of", "dataset", "accelerator", "model", "engine", "median (bias)", "rows", "cause"), lines, 8)


def reasons_table(rows: Sequence[Answered]) -> str:
    """Why rows are not predicted."""
    found = reasons(rows)
    if not found:
        return "Every row is predicted."
    lines = [[reason.replace("|", "\\|"), f"{count:,}"] for reason, count in found[:SHOWN]]
    if len(found) > SHOWN:
        rest = found[SHOWN:]
        lines.append([f"{len(rest)} other reasons", f"{sum(count for _, count in rest):,}"])
    return markdown(("not predicted because", "rows"), lines)


def rivals_table(rows: Sequence[Answered], found: LeftOut) -> str:
    """Ours and the rival's mean latencies on the rows that the rival predicted."""
    rivals = rival_rows([m for m, _ in rows])
    if not rivals:
        return f"None of the rows that AIConfigurator {VERSION} predicted is in this table."
    theirs = {m.id: (m, rival.answer()) for m, rival in ((rows[i][0], rival) for i, rival in rivals)}
    lines = _latencies(RIVAL, list(theirs.values()))
    lines += _latencies("Tokenworks as shipped (most of these rows were fitted)", [rows[i] for i, _ in rivals])
    for kind, name in LEFT_OUT:
        kept = found.answered(kind, [m for m, _ in theirs.values()])
        lines += _latencies(f"Tokenworks, {name}", kept)
        if 0 < len(kept) < len(theirs):
            lines += _latencies(f"{RIVAL} on these {len(kept)}", [theirs[m.id] for m, _ in kept])
    return markdown(("", "rows", "TPOT mean", "TTFT mean"), lines)


def _latencies(name: str, rows: Sequence[Answered]) -> list[list[str]]:
    found = errors_of(rows)
    return [[name, f"{len(rows):,}", _cell(found, "tpot mean"), _cell(found, "ttft mean")]] if found else []
