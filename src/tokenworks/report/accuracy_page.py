"""The accuracy page: fixed prose with tables and charts of what was predicted, in Markdown and SVG files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tokenworks.accuracy.left_out import LeftOut, fingerprint, left_out
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.slices import Answered
from tokenworks.accuracy.tables import fully_specified
from tokenworks.accuracy.validate import UNSUPPORTED, Answer
from tokenworks.report import accuracy_tables as tables
from tokenworks.report.accuracy_charts import charts

TEMPLATE = Path(__file__).parent / "templates" / "accuracy.md"
RIVALS = "aiconfigurator.svg"


def accuracy_page(
    measured: Sequence[Measurement], answers: Sequence[Answer], path: Path, name: str
) -> dict[Path, bytes]:
    """The page at ``path`` and its charts, in a folder of its name beside it. ``name``: of the table."""
    rows = list(zip(measured, answers, strict=True))
    unseen = left_out()
    pictures = charts(rows, partial(unseen.answered, "groups"))
    files = {path.with_suffix("") / file: svg.encode() for file, svg in pictures.items()}
    return {path: page(rows, name, unseen, list(pictures), path.stem).encode(), **files}


def page(rows: Sequence[Answered], name: str, unseen: LeftOut, pictures: Sequence[str], folder: str) -> str:
    """The Markdown; ``pictures`` are file names in the folder."""
    shown = [p for p in pictures if p != RIVALS]
    parts = {
        "header": header(name, len(rows)),
        "rows": f"{len(rows):,}",
        "headline": tables.headline(rows),
        "specified": _specified(rows),
        "left out": tables.left_out_table(unseen),
        "accelerators left out": tables.left_out_slices(unseen, "accelerator"),
        "models left out": tables.left_out_slices(unseen, "model"),
        "rivals": tables.rivals_table(rows, unseen),
        "rivals chart": "\n".join(_picture(folder, p) for p in pictures if p == RIVALS),
        **{f"by {by}": tables.slices_table(rows, by) for by in ("dataset", "accelerator", "model family")},
        "charts": "\n\n".join(_picture(folder, p) for p in shown),
        "coverage": tables.coverage_table(rows),
        "worst": tables.worst_table(rows),
        "reasons": tables.reasons_table(rows),
    }
    return re.sub(r"\n{3,}", "\n\n", _filled(TEMPLATE.read_text(encoding="utf-8"), parts))


def header(name: str, rows: int) -> str:
    """What a reader, and a test, needs to know whether the page is of today's calibration."""
    return f"Generated from calibration `{fingerprint()}` and {name}, {rows:,} rows. Written by a command: edit the template."


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with every marker replaced. Raises KeyError for a marker without a part."""
    return re.sub(r"<!-- ([\w ]+) -->", lambda found: parts[found.group(1)], template)


def _specified(rows: Sequence[Answered]) -> str:
    full = [a for m, a in rows if fully_specified(m)]
    known = sum(a.status != UNSUPPORTED for a in full)
    every = sum(a.status != UNSUPPORTED for _, a in rows)
    return f"Fully specified rows predicted: {known:,} of {len(full):,}; of all rows {every:,} of {len(rows):,}."


def _picture(folder: str, name: str) -> str:
    return f"![{name.removesuffix('.svg').replace('-', ' ')}]({folder}/{name})"
