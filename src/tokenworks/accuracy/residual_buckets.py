"""Residuals against inputs: buckets of each input, the band of errors in each, and groups of rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.breakdown import IDLE, OPERATORS
from tokenworks.accuracy.residuals import Residual, Setting
from tokenworks.accuracy.rows import Row

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST = 18  # buckets of one input: the smaller ones are put together
NOT_STATED = "not stated"
_LENGTHS = (128, 512, 2048, 8192, 32768)
_COUNTS = (1, 4, 16, 64, 256, 1024)


@dataclass(frozen=True)
class Input:
    """Something that may explain an error. With ``edges`` a number cut into ranges (each up to its edge), else a name."""

    title: str
    of: Callable[[Row, Setting], float | str | None]
    edges: tuple[float, ...] = ()
    percent: bool = False
    by_name: bool = False  # buckets in the order of their names, not by size


def _era(row: Row, s: Setting) -> str:
    return f"{s.family} {s.era if s.era != 'unknown' else NOT_STATED}"


def _clients(row: Row, s: Setting) -> float | str | None:
    """Sequences that are asked for at once, in all of the row's GPUs."""
    return row.batch_size or row.concurrency or {"offline": "all at once", "open": "open loop"}.get(s.mode)


def _largest(row: Row, s: Setting) -> str:
    return max((share, name) for share, name in zip(s.work.shares, OPERATORS, strict=True) if name != IDLE)[1]


INPUTS = (
    Input("Concurrency or batch", _clients, _COUNTS),
    Input("Mean running sequences per rank", lambda r, s: float(round(s.work.sequences)), _COUNTS),
    Input("ISL, tokens", lambda r, s: r.isl, _LENGTHS),
    Input("OSL, tokens", lambda r, s: r.osl, _LENGTHS),
    Input("TP", lambda r, s: str(s.deployment.tp), by_name=True),
    Input("GPUs of a replica (TP · PP · DP)", lambda r, s: str(s.deployment.gpus), by_name=True),
    Input("Load", lambda r, s: "disaggregated" if r.disaggregated == "true" else s.mode),
    Input("Memory pressure", lambda r, s: s.memory_pressure, (0.25, 0.5, 0.75, 1.0, 2.0, 8.0), percent=True),
    Input("Operator that takes most time", _largest),
    Input("Share of time in steps with prefill", lambda r, s: s.work.with_prefill, (0.05, 0.2, 0.5, 0.9), percent=True),
    Input("Accelerator", lambda r, s: r.gpu),
    Input("Engine", lambda r, s: r.engine),
    Input("Engine version or month", _era, by_name=True),
    Input("Quarter of the software", lambda r, s: s.quarter if s.quarter != "unknown" else NOT_STATED, by_name=True),
    Input("Model", lambda r, s: r.model),
    Input("Kind of model", lambda r, s: s.kind),
    Input("Weights", lambda r, s: s.deployment.weights),
    Input("Speculative decoding", lambda r, s: r.spec_decoding or NOT_STATED),
    Input("Known to calibration", lambda r, s: s.novelty),
    Input("Dataset", lambda r, s: r.dataset or NOT_STATED),
)


@dataclass(frozen=True)
class Buckets:
    """Buckets of one input over all rows: their labels, and each row's (−1: it could not be rehearsed)."""

    title: str
    labels: tuple[str, ...]
    at: Ints


def buckets_of(chosen: Input, found: Sequence[Residual]) -> Buckets:
    """Every row put into a bucket of the input."""
    values = [chosen.of(r.measured.row, r.setting) if r.setting else None for r in found]
    said = [_label(chosen, v) for v in values]
    counts = Counter(label for label, r in zip(said, found, strict=True) if r.setting)
    kept = [label for label, _ in counts.most_common(MOST if len(counts) > MOST + 1 else None)]
    labels = sorted(kept, key=_order(chosen, kept))
    if len(counts) > len(kept):
        labels.append(f"{len(counts) - len(kept)} others")
    place = {label: i for i, label in enumerate(labels)}
    at = [place.get(label, len(kept)) if r.setting else -1 for label, r in zip(said, found, strict=True)]
    return Buckets(chosen.title, tuple(labels), np.array(at, dtype=np.int64))


def _label(chosen: Input, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or NOT_STATED
    index = int(np.searchsorted(chosen.edges, value))
    return _ranges(chosen)[index]


def _ranges(chosen: Input) -> list[str]:
    edges = [f"{e:.0%}" if chosen.percent else f"{e:,.0f}" for e in chosen.edges]
    above = [f"{e:.0%}" if chosen.percent else f"{e + 1:,.0f}" for e in chosen.edges]
    between = [low if low == high else f"{low}–{high}" for low, high in zip(above, edges[1:], strict=False)]
    first = edges[0] if chosen.edges[0] == 1 and not chosen.percent else f"up to {edges[0]}"
    return [first, *between, f"over {edges[-1]}"]


def _order(chosen: Input, by_size: list[str]) -> Callable[[str], Any]:
    """Ranges in their order, then what has none; names by size or by name, numbers in them as numbers."""
    if chosen.edges:
        ranges = _ranges(chosen)
        return lambda label: ranges.index(label) if label in ranges else len(ranges)
    if chosen.by_name:
        return _natural
    return by_size.index


def _natural(label: str) -> list[tuple[bool, float, str]]:
    parts = re.findall(r"\d+|\D+", label)
    return [(not p.isdecimal(), float(p) if p.isdecimal() else 0.0, p) for p in parts]


@dataclass(frozen=True)
class Band:
    """Log errors of some rows: how many, and their 10%, 50% and 90% quantiles."""

    rows: int
    low: float
    median: float
    high: float


def band(logs: Array) -> Band:
    low, median, high = (float(q) for q in np.quantile(logs, (0.1, 0.5, 0.9)))
    return Band(len(logs), low, median, high)


def bands(buckets: Buckets, logs: Array) -> dict[int, Band]:
    """Bucket → band of the rows that have an error (others NaN)."""
    seen = np.isfinite(logs) & (buckets.at >= 0)
    return {int(b): band(logs[seen & (buckets.at == b)]) for b in np.unique(buckets.at[seen])}


Key = tuple[str, str, str]


@dataclass(frozen=True)
class Group:
    """One (accelerator, model, engine). ``weight``: its part of the sum of all absolute log errors.

    ``bias``: the part of its mean squared log error that its mean explains. Near 1 one factor would put it right, near 0
    its rows disagree with each other.
    """

    key: Key
    band: Band
    weight: float
    bias: float

    @property
    def verdict(self) -> str:
        if self.band.rows < 4:
            return "too few rows"
        return "bias" if self.bias >= 0.6 else "noise" if self.bias < 0.25 else "both"


def group_key(row: Row) -> Key:
    return (row.gpu, row.model, row.engine)


def groups(keys: Sequence[Key], logs: Array, most: int) -> list[Group]:
    """The groups with the largest part of all error, largest first."""
    rows: dict[Key, list[float]] = {}
    for key, log in zip(keys, logs, strict=True):
        if np.isfinite(log):
            rows.setdefault(key, []).append(float(log))
    whole = sum(abs(v) for values in rows.values() for v in values) or 1.0
    found = [_group(key, np.array(values), whole) for key, values in rows.items()]
    return sorted(found, key=lambda g: -g.weight)[:most]


def _group(key: Key, logs: Array, whole: float) -> Group:
    square = float((logs**2).mean())
    return Group(
        key, band(logs), float(np.abs(logs).sum()) / whole, float(logs.mean()) ** 2 / square if square else 0.0
    )
