"""Tables of the residual page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from tokenworks.accuracy.residual_buckets import Group
from tokenworks.accuracy.residual_views import Line
from tokenworks.accuracy.residuals import Residual
from tokenworks.accuracy.validate import UNSUPPORTED
from tokenworks.report.residual_charts import signed

_ERRORS = ("rows", "median", "p90", "bias", "in 80% interval")


def word(metric: str) -> str:
    """A metric as it is written.

    >>> word("tpot mean"), word("energy")
    ('TPOT mean', 'energy')
    """
    return metric.replace("tpot", "TPOT").replace("ttft", "TTFT")


def table(head: Sequence[str], rows: Iterable[str], names: int = 1) -> str:
    """A table whose first ``names`` columns are words, the others numbers."""
    cells = "".join(
        f'<th scope="col"{"" if i < names else " class=n"}>{escape(name)}</th>' for i, name in enumerate(head)
    )
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _numbers(cells: Iterable[str]) -> str:
    return "".join(f"<td class=n>{cell}</td>" for cell in cells)


def _percent(value: float, sign: bool = False) -> str:
    return (f"{value:+.1f}%" if sign else f"{value:.1f}%").replace("-", "−")


def _line(line: Line) -> str:
    inside = f"{line.inside:.0f}%" if line.inside is not None else "–"
    return _numbers(
        (f"{line.rows:,}", _percent(line.median), _percent(line.p90), _percent(line.bias, sign=True), inside)
    )


def headline_table(lines: Sequence[Line]) -> str:
    """Errors by metric."""
    rows = (f"<tr><td class=w>{word(line.metric)}</td>{_line(line)}</tr>" for line in lines)
    return table(("", *_ERRORS), rows)


def dataset_table(lines: Sequence[tuple[int, str, Line]]) -> str:
    """Errors of one metric by dataset; a name can be clicked to look at it alone. Entries: view, name, errors."""
    rows = (
        f'<tr><td class=w><button type="button" class="link" data-view="{view}">{escape(name)}</button></td>{_line(line)}</tr>'
        for view, name, line in lines
    )
    return table(("dataset", *_ERRORS), rows)


def group_table(found: Sequence[Group]) -> str:
    """Groups by their part of all error."""
    head = ("accelerator", "model", "engine", "rows", "median", "10–90%", "of all error", "due to bias", "looks like")
    return table(head, map(_group, found), names=3)


def _group(group: Group) -> str:
    gpu, model, engine = (escape(part or "not stated") for part in group.key)
    b = group.band
    spread = f"{signed(b.low)} to {signed(b.high)}"
    numbers = (f"{b.rows:,}", signed(b.median), spread, f"{group.weight:.1%}", f"{group.bias:.0%}", group.verdict)
    key = escape("|".join(group.key))
    return (
        f'<tr><td class=w><button type="button" class="link" data-group="{key}">{gpu}</button></td><td class=w>{model}</td>'
        f"<td class=w>{engine}</td>{_numbers(numbers)}</tr>"
    )


def refused_table(found: Sequence[Residual]) -> str:
    """Rows without a prediction, by reason."""
    reasons = Counter(r.answer.reason for r in found if r.answer.status == UNSUPPORTED)
    rows = (f"<tr><td>{escape(reason)}</td><td class=n>{count:,}</td></tr>" for reason, count in reasons.most_common())
    return table(("reason", "rows"), rows)
