"""Does the model choose as measurements would? Published figures of one model on one accelerator in several configurations.

Two questions, each asked of every group of rows that differ in nothing else:

``degrees``: same load on every GPU; which parallel degrees give the most output tokens/s per GPU?
``limits``: closed loops; which degrees and which concurrency give the most within a limit on the time per output token?

Rows of a closed loop whose source prints latencies alone get their throughput by Little's law: clients / (TTFT + TPOT ·
(output − 1)) answers a second, predicted and measured alike. A figure that was measured twice counts once, as its mean.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tokenworks import catalog
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.validate import Answer

Key = tuple[object, ...]
LIMITS_MS = (20.0, 30.0, 50.0, 100.0)  # of the time per output token
SAME_LENGTH = 1.05  # runs of one task whose answers are this close in length are of one group
Point = tuple[float, float]  # measured, predicted


@dataclass(frozen=True)
class Figures:
    """One configuration of a group; measured and predicted, each the mean over its rows."""

    config: str
    gpus: int
    tokens_s_gpu: Point
    tpot_ms: Point | None


@dataclass(frozen=True)
class Group:
    """Configurations that one would choose from."""

    key: Key
    source: str  # dataset
    figures: tuple[Figures, ...]


@dataclass(frozen=True)
class Choice:
    """What the model chose in a group."""

    group: Group
    limit_ms: float | None
    chosen: Figures
    best: Figures
    kept: bool  # the chosen one's measured TPOT keeps the limit
    smallest: Figures  # what a rule of thumb takes: the fewest GPUs; of these the most clients

    @property
    def share(self) -> float:
        """Measured throughput of the choice over the best measured one that keeps the limit; 0 where the choice does not."""
        return self.chosen.tokens_s_gpu[0] / self.best.tokens_s_gpu[0] if self.kept else 0.0


def degrees_key(row: Row) -> Key | None:
    """All that rows of a ``degrees`` group share; None for a row that says too little."""
    if not row.gpus or not (row.tp or row.dp_attention or row.prefill_tp):
        return None
    loads = (row.concurrency, row.batch_size, row.request_rate)
    return (*_same(row), row.osl, *(x and float(f"{x / row.gpus:.3g}") for x in loads))


def limits_key(row: Row) -> Key | None:
    """All that rows of a ``limits`` group share: the load is part of the choice. Lengths: to within a few percent."""
    known = row.gpus and (row.tp or row.dp_attention or row.prefill_tp)
    if not known or row.serving != "closed_loop" or not row.concurrency or not row.osl:
        return None
    return (*_same(row), round(math.log(row.osl) / math.log(SAME_LENGTH)))


def _same(row: Row) -> Key:
    version = row.engine_version or row.date[:7]
    return (
        row.dataset,
        row.serving,
        row.gpu,
        row.model,
        row.quantization,
        row.engine,
        version,
        row.isl,
        row.spec_decoding,
    )


def config_of(row: Row, load: bool) -> str:
    """The configuration in a line; with its load where that is chosen too."""
    if row.disaggregated == "true":
        said = f"{row.prefill_workers}×{_cut(row.prefill_tp, row.prefill_dp, row.prefill_ep)} + "
        said += f"{row.decode_workers}×{_cut(row.decode_tp, row.decode_dp, row.decode_ep)}"
    else:
        said = _cut(row.tp, row.dp_attention, row.moe_ep, row.pp)
    return f"{said}, {row.concurrency} clients" if load else said


def _cut(tp: int | None, dp: int | None, ep: int | None, pp: int | None = None) -> str:
    parts = (("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep))
    return " ".join(f"{name}{value}" for name, value in parts if value and (value > 1 or name == "tp"))


def throughput(m: Measurement, a: Answer) -> Point | None:
    """Output tokens/s per GPU, measured and predicted: as printed, else by Little's law."""
    if m.targets.output_tokens_s_gpu and a.rate:
        share = per_gpu(m.row)  # measured and predicted are divided by the same GPUs
        return m.targets.output_tokens_s_gpu * share, a.rate[0] * share
    t, r = m.targets, m.row
    means = (t.ttft_ms_mean, t.tpot_ms_mean, a.ttft_mean, a.tpot_mean)
    if r.serving != "closed_loop" or not (r.concurrency and r.gpus and r.osl) or not all(means):
        return None
    clients, output, gpus = r.concurrency, r.osl, r.gpus
    little = lambda ttft, tpot: clients * output / (ttft + tpot * (output - 1)) / gpus * 1e3  # noqa: E731
    return little(t.ttft_ms_mean, t.tpot_ms_mean), little(a.ttft_mean, a.tpot_mean)


def per_gpu(row: Row) -> float:
    """GPUs by which the dataset divides throughput over all GPUs: below 1 where it counts those that decode alone."""
    if (
        row.disaggregated != "true"
        or row.dataset not in catalog.load("harnesses", "inferencex").extra["per_decode_gpu"]
    ):
        return 1.0
    sides = [(row.prefill_workers, row.prefill_tp, row.prefill_dp), (row.decode_workers, row.decode_tp, row.decode_dp)]
    prefill, decode = ((n or 1) * (tp or 1) * (dp or 1) for n, tp, dp in sides)
    return decode / (prefill + decode)


def tpot(m: Measurement, a: Answer) -> Point | None:
    """Milliseconds per output token, measured and predicted: the mean where it was printed, else the median."""
    if m.targets.tpot_ms_mean and a.tpot_mean:
        return m.targets.tpot_ms_mean, a.tpot_mean
    return (m.targets.tpot_ms_median, a.tpot_median) if m.targets.tpot_ms_median and a.tpot_median else None


def groups(rows: Iterable[tuple[Measurement, Answer]], key_of: Callable[[Row], Key | None]) -> list[Group]:
    """Groups with two configurations at least."""
    load = key_of is limits_key
    found: dict[Key, dict[str, list[tuple[Measurement, Answer]]]] = defaultdict(lambda: defaultdict(list))
    for m, a in rows:
        key = key_of(m.row)
        if key is not None and throughput(m, a) and (not load or tpot(m, a)):
            found[key][config_of(m.row, load)].append((m, a))
    return [
        Group(key, str(key[0]), tuple(_figures(name, own) for name, own in configs.items()))
        for key, configs in found.items()
        if len(configs) > 1
    ]


def _figures(name: str, rows: Sequence[tuple[Measurement, Answer]]) -> Figures:
    rates = [p for p in (throughput(m, a) for m, a in rows) if p]
    gaps = [p for p in (tpot(m, a) for m, a in rows) if p]
    return Figures(name, rows[0][0].row.gpus or 1, _mean(rates), _mean(gaps) if gaps else None)


def _mean(points: Sequence[Point]) -> Point:
    measured, predicted = np.mean(points, axis=0)
    return float(measured), float(predicted)


def choice(group: Group, limit_ms: float | None = None) -> Choice | None:
    """The model's choice; None where fewer than two configurations kept the limit when measured, or all of them did: then
    the limit asks nothing. Where the model believes in none, it takes the one that it believes to be nearest."""
    if limit_ms is None:
        best, chosen = (max(group.figures, key=lambda f, i=i: f.tokens_s_gpu[i]) for i in (0, 1))  # type: ignore[misc]
        return Choice(group, None, chosen, best, True, _smallest(group.figures))
    keeps = [f for f in group.figures if f.tpot_ms and f.tpot_ms[0] <= limit_ms]
    if len(keeps) < 2 or len(keeps) == len(group.figures):
        return None
    believed = [f for f in group.figures if f.tpot_ms and f.tpot_ms[1] <= limit_ms]
    nearest = min(group.figures, key=lambda f: f.tpot_ms[1] if f.tpot_ms else math.inf)
    chosen = max(believed, key=lambda f: f.tokens_s_gpu[1]) if believed else nearest
    best = max(keeps, key=lambda f: f.tokens_s_gpu[0])
    return Choice(group, limit_ms, chosen, best, chosen in keeps, _smallest(group.figures))


def _smallest(figures: Sequence[Figures]) -> Figures:
    return min(figures, key=lambda f: (f.gpus, -f.tokens_s_gpu[1]))


def kendall(points: Sequence[Point]) -> float:
    """τ-b of measured and predicted; NaN where one side does not vary.

    >>> kendall([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), round(kendall([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]), 4)
    (1.0, 0.3333)
    """
    a, b = np.array(points).T
    i, j = np.triu_indices(len(a), 1)
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    ties = float(np.sqrt((x != 0).sum() * (y != 0).sum()))
    return float((x * y).sum() / ties) if ties else math.nan
