"""Parts of a table of measurements that an error is shown for: what they have in common, which are furthest off, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tokenworks import catalog
from tokenworks.accuracy.experiments import DISAGGREGATED, SPECULATING, mode_of
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.splits import known_cause
from tokenworks.accuracy.tables import pairs
from tokenworks.accuracy.validate import UNSUPPORTED, Answer
from tokenworks.errors import UnsupportedError
from tokenworks.physics.terms import model_kind

Answered = tuple[Measurement, Answer]
KINDS = {"mla": "MLA mixture of experts", "moe": "mixture of experts", "dense": "dense"}


def family(row: Row) -> str:
    """The name of a model without its generation and size.

    >>> from types import SimpleNamespace as Of
    >>> [family(Of(model=name)) for name in ("llama-3.1-70b", "gpt-oss-120b", "qwen3-vl-8b", "deepseek-r1")]
    ['llama', 'gpt-oss', 'qwen', 'deepseek']
    """
    found = re.match(r"[a-z]+(?:-[a-z]{3,}(?=-|$))?", row.model)
    return found.group(0) if found else row.model


def served(row: Row) -> str:
    """The kind of load; for what no fit learns from "disaggregated" or "speculating"; "" where no load is stated."""
    if row.disaggregated == "true":
        return DISAGGREGATED
    if row.spec_decoding in ("mtp", "eagle"):
        return SPECULATING
    try:
        return mode_of(row)
    except UnsupportedError:
        return ""


def kind_of_model(row: Row) -> str:
    """MLA, mixture of experts or dense. The model is one of the catalogue."""
    return KINDS[model_kind(catalog.load("models", row.model))]


BY: dict[str, Callable[[Row], str]] = {
    "dataset": lambda row: row.dataset,
    "accelerator": lambda row: row.gpu,
    "model family": family,
    "kind of model": kind_of_model,
    "mode": served,
}


def sliced(rows: Sequence[Answered], by: str) -> dict[str, list[Answered]]:
    """Predicted rows by what they share, the largest slice first."""
    found: dict[str, list[Answered]] = {}
    for m, a in rows:
        if a.status != UNSUPPORTED:
            found.setdefault(BY[by](m.row), []).append((m, a))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


@dataclass(frozen=True)
class Worst:
    """A group that is far off: percent are signed medians of predicted over measured."""

    name: tuple[str, str, str, str]  # dataset, accelerator, model, engine
    rows: int
    median: float
    bias: float
    cause: str  # "" where it is not known


def worst_groups(rows: Sequence[Answered], metrics: Sequence[str], least: int, count: int) -> list[Worst]:
    """Groups of at least ``least`` rows with the largest median error of the first of the metrics that a row prints."""
    found: dict[tuple[str, str, str, str], list[tuple[float, Row]]] = {}
    for m, a in rows:
        both = pairs(m, a)
        name = next((name for name in metrics if name in both), None)
        if name:
            predicted, truth = both[name]
            key = (m.row.dataset, m.row.gpu, m.row.model, m.row.engine)
            found.setdefault(key, []).append((100 * (predicted / truth - 1), m.row))
    groups = [_worst(key, errors) for key, errors in found.items() if len(errors) >= least]
    return sorted(groups, key=lambda g: (-g.median, g.name))[:count]


def _worst(name: tuple[str, str, str, str], errors: list[tuple[float, Row]]) -> Worst:
    signed = np.array([error for error, _ in errors])
    causes = Counter(known_cause(row) for _, row in errors)
    cause, times = causes.most_common(1)[0]
    return Worst(
        name,
        len(errors),
        float(np.median(np.abs(signed))),
        float(np.median(signed)),
        cause if times > len(errors) / 2 else "",
    )


def reasons(rows: Sequence[Answered]) -> list[tuple[str, int]]:
    """Why rows were not predicted, the most frequent first; numbers inside a reason are not told apart."""
    said = (re.sub(r"(?<![\w.-])\d[\d,]*(?![\w.-])", "N", a.reason) for _, a in rows if a.status == UNSUPPORTED)
    return Counter(said).most_common()
