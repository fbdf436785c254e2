"""The token amplification factor: tokens processed per token of output that a run's user saw.

``taf_processed`` counts every token of every call, also of sub-agents, retries and failed attempts; ``taf_computed``
leaves cache reads out. Both are a sum divided by a sum, never a mean of runs' ratios; percentiles over runs stand beside
them. Visible output is that of calls marked ``final``; where a run marks none, its last call's output stands in
(``assumed``); where nobody knows either, the run is left out of both sums and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tokenworks.ledger.bootstrap import ratio_intervals
from tokenworks.ledger.units import Ints, Period, Units, units

PERCENTILES = (10, 50, 90, 99)


@dataclass(frozen=True)
class Amplification:
    """A ratio of sums with its interval (95%, over runs drawn again) and the percentiles over runs."""

    ratio: float
    interval: tuple[float, float] | None  # None: fewer than two runs
    percentiles: dict[int, float]  # over runs with visible output


@dataclass(frozen=True)
class Taf:
    """One group. Token counts are of its counted runs; what is left out has counts of its own."""

    key: tuple[str, ...]
    runs: int
    calls: int
    processed_tokens: int
    cache_read_tokens: int
    visible_tokens: int | None
    taf_processed: Amplification | None  # None: no visible output is known
    taf_computed: Amplification | None
    assumed: bool  # of at least one run the last call's output stands in
    assumed_runs: int
    silent_runs: int  # known to have shown nothing, or less (a correction): in the sums, not in the percentiles
    left_out_runs: int  # whose visible output nobody knows
    left_out_tokens: int
    unknown_calls: int  # that state no input or no output: the sums are at least this
    unknown_read_calls: int  # whose cache reads nobody knows: taf_computed is at most this

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def taf(
    usage: Any, by: Sequence[str] = ("run",), *, period: Period = "day", resamples: int = 500, seed: int = 0
) -> list[Taf]:
    """Rows in the order of their keys, of an Arrow table with USAGE_COLUMNS; ``by`` as in `units`, ``()`` for one row.

    For a call, visible output is its own; for a model, that of the runs it served, so that the models of a run add up to
    the run's TAF. Raises InputError for a key that is not known.
    """
    return taf_of(units(usage, by, period), resamples=resamples, seed=seed)


def taf_of(found: Units, *, resamples: int = 500, seed: int = 0) -> list[Taf]:
    edges = np.searchsorted(found.group, np.arange(len(found.key) + 1))
    return [_group(found, key, slice(edges[i], edges[i + 1]), resamples, seed) for i, key in enumerate(found.key)]


def _group(found: Units, key: tuple[str, ...], rows: slice, resamples: int, seed: int) -> Taf:
    known = found.known[rows]
    processed, reads, visible = (column[rows][known] for column in (found.processed, found.cache_read, found.visible))
    assumed = int(np.count_nonzero(found.assumed[rows][known]))
    whole, computed = amplifications((processed, processed - reads), visible, resamples, seed, "\x1f".join(key))
    return Taf(
        key=key,
        runs=int(known.sum()),
        calls=int(found.calls[rows][known].sum()),
        processed_tokens=int(processed.sum()),
        cache_read_tokens=int(reads.sum()),
        visible_tokens=int(visible.sum()) if known.any() else None,
        taf_processed=whole,
        taf_computed=computed,
        assumed=assumed > 0,
        assumed_runs=assumed,
        silent_runs=int(np.count_nonzero(visible <= 0)),
        left_out_runs=int(np.count_nonzero(~known)),
        left_out_tokens=int(found.processed[rows][~known].sum()),
        unknown_calls=int(found.unknown[rows].sum()),
        unknown_read_calls=int(found.unknown_reads[rows].sum()),
    )


def amplifications(
    aboves: Sequence[Ints], below: Ints, resamples: int, seed: int, name: str
) -> list[Amplification | None]:
    total = int(below.sum())
    if total <= 0:
        return [None] * len(aboves)
    intervals = ratio_intervals(aboves, below, resamples=resamples, seed=seed, name=name)
    return [
        Amplification(int(above.sum()) / total, interval, _percentiles(above, below))
        for above, interval in zip(aboves, intervals, strict=True)
    ]


def _percentiles(above: Ints, below: Ints) -> dict[int, float]:
    spoke = below > 0
    ratios = above[spoke] / below[spoke]
    if len(ratios) < 2:
        return dict.fromkeys(PERCENTILES, float(ratios[0])) if len(ratios) else {}
    return dict(zip(PERCENTILES, map(float, np.percentile(ratios, PERCENTILES)), strict=True))
