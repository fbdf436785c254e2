"""The page of residuals: one self-contained file that shows where predictions are wrong, down to each row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.residual_buckets import INPUTS, Buckets, band, bands, buckets_of, group_key, groups
from tokenworks.accuracy.residual_columns import columns
from tokenworks.accuracy.residual_views import View, headline, logs_of, views
from tokenworks.accuracy.residuals import Residual
from tokenworks.accuracy.tables import METRICS
from tokenworks.accuracy.validate import UNSUPPORTED
from tokenworks.report.page_style import SCRIPT, STYLE
from tokenworks.report.residual_charts import chart, scale_of
from tokenworks.report.residual_data import page_data
from tokenworks.report.residual_tables import dataset_table, group_table, headline_table, refused_table, word

GROUPS = 20  # groups shown
_HERE = Path(__file__).parent
_READ = (
    "Errors are predicted over measured: + is too high, − too low (a throughput that is too high, but a TPOT or TTFT that is "
    "too slow). Bars hold the middle 80% of a bucket's rows, the mark is their median, the number at the right their count. "
    "All charts share one axis; click a bucket, a group or a dataset to list its rows."
)
_GROUPS = (
    "Sorted by their part of the sum of all absolute log errors. “Due to bias” is the part of a group's mean squared log "
    "error that its mean explains: near 100% one factor would put it right, near 0% its rows disagree with each other."
)
Logs = dict[str, NDArray[np.float64]]


def residual_page(found: Sequence[Residual]) -> str:
    """The whole page."""
    seen, logs = views(found), logs_of(found)
    metrics = [m for m in METRICS if np.isfinite(logs[m]).any()]
    every = [buckets_of(chosen, found) for chosen in INPUTS]
    store = {f"head-{v}": headline_table(headline(found, view)) for v, view in enumerate(seen)}
    for metric in metrics:
        number = METRICS.index(metric)
        store[f"sets-{number}"] = _datasets(found, seen, metric)
        store |= _panels(found, seen, every, number, logs[metric])
    data = page_data(columns(found), seen, every)
    body = _head(found) + _controls(seen, metrics) + _sections(found)
    kept = "".join(f'<template id="{name}">{content}</template>' for name, content in store.items())
    style, script = ((_HERE / f"residual_page.{kind}").read_text() for kind in ("css", "js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Residuals – Tokenworks</title><style>{STYLE}{style}</style></head><body><main>{body}</main>{kept}"
        f'<script type="application/json" id="data">{data}</script><script>{SCRIPT}{script}</script></body></html>'
    )


def _panels(
    found: Sequence[Residual], seen: Sequence[View], every: Sequence[Buckets], number: int, logs: NDArray[np.float64]
) -> dict[str, str]:
    """Charts and groups of one metric in every view that has an error of it."""
    keys = [group_key(r.measured.row) for r in found]
    store: dict[str, str] = {}
    for v, view in enumerate(seen):
        chosen = np.where(view.rows, logs, np.nan)
        if np.isfinite(chosen).any():
            store[f"charts-{v}-{number}"] = _charts(every, chosen)
            store[f"groups-{v}-{number}"] = group_table(groups(keys, chosen, GROUPS))
    return store


def _charts(every: Sequence[Buckets], logs: NDArray[np.float64]) -> str:
    """A chart per input, on one axis; inputs that are the same for all rows are named below."""
    found = [(number, b, bands(b, logs)) for number, b in enumerate(every)]
    scale = scale_of([one for _, _, its in found for one in its.values()])
    drawn = [chart(number, b, its, scale) for number, b, its in found if len(its) > 1]
    same = [f"{b.title}: {b.labels[next(iter(its))]}" for _, b, its in found if len(its) == 1]
    whole = band(logs[np.isfinite(logs)])
    note = f'<p class="note">The same for all {whole.rows:,} rows: {escape("; ".join(same))}.</p>' if same else ""
    return f'<div class="many">{"".join(drawn)}</div>{note}'


def _datasets(found: Sequence[Residual], seen: Sequence[View], metric: str) -> str:
    lines = [
        (v, view.name, line)
        for v, view in enumerate(seen)
        if view.dataset
        for line in headline(found, view)
        if line.metric == metric
    ]
    return dataset_table(lines)


def _head(found: Sequence[Residual]) -> str:
    predicted = sum(r.answer.status != UNSUPPORTED for r in found)
    share = f" ({predicted / len(found):.1%})" if found else ""
    return (
        '<header><button id="mode" type="button">light / dark</button><h1>Residuals</h1>'
        f'<p class="note">{len(found):,} published rows, {predicted:,} predicted{share}. {escape(_READ)}</p></header>'
    )


def _controls(seen: Sequence[View], metrics: Sequence[str]) -> str:
    options = "".join(f'<option value="{v}">{escape(view.name)}</option>' for v, view in enumerate(seen))
    tabs = "".join(
        f'<button type="button" role="tab" data-metric="{METRICS.index(m)}">{word(m)}</button>' for m in metrics
    )
    return (
        f'<div class="controls"><label>rows <select id="view">{options}</select></label>'
        f'<div class="tabs" role="tablist" aria-label="metric">{tabs}</div></div>'
    )


def _sections(found: Sequence[Residual]) -> str:
    parts = [
        ("Errors", '<div id="head"></div>', ""),
        ("Error against every input", '<div id="charts"></div>', ""),
        ("Worst groups", '<div id="groups"></div>', _GROUPS),
        ("Worst rows", _ROWS, "Furthest off first; click a row for its inputs, metrics and operators."),
        ("Datasets", '<div id="sets"></div>', ""),
    ]
    if any(r.answer.status == UNSUPPORTED for r in found):
        parts.append(("Not predicted", f"<details><summary>reasons</summary>{refused_table(found)}</details>", ""))
    return "".join(
        f"<section><h2>{title} <small data-of></small></h2>"
        + (f'<p class="note">{escape(note)}</p>' if note else "")
        + f"{body}</section>"
        for title, body, note in parts
    )


_ROWS = (
    '<p class="find"><label>id, model, accelerator … <input id="find" type="search"></label> <span id="only"></span></p>'
    '<div id="rows" class="scroll"></div><p><button id="more" type="button">more rows</button></p>'
    '<dialog id="row"><button id="close" type="button" aria-label="close">×</button><div id="inside"></div></dialog>'
)
