"""Predict every row of a table by rehearsing its experiment; never an exception, every row answered."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tokenworks.accuracy.experiments import Experiment, experiment
from tokenworks.accuracy.intervals import interval, novelty
from tokenworks.accuracy.replay import Prediction, Run, fitting, measure
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.stand import model_of
from tokenworks.errors import CatalogError, InputError
from tokenworks.physics.terms import Terms, resolve
from tokenworks.twin.spread import Crew, spread

OK, ASSUMED, UNSUPPORTED = "ok", "assumed", "unsupported"


@dataclass(frozen=True)
class Answer:
    """The prediction of one row, or why there is none. Milliseconds, tokens/s per GPU, J per output token."""

    status: str
    reason: str = ""
    rate: tuple[float, float, float] | None = None  # value, p10, p90
    tpot_mean: float | None = None
    tpot_median: float | None = None
    tpot_band: tuple[float, float] | None = None  # of the mean
    ttft_mean: float | None = None
    ttft_median: float | None = None
    ttft_band: tuple[float, float] | None = None
    joules: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Rehearsed:
    """An experiment, what its replay did, and the metrics read off it."""

    experiment: Experiment
    terms: Terms
    run: Run
    prediction: Prediction


def rehearsed(row: Row, record: bool = False) -> Rehearsed:
    """A row's experiment, rehearsed; with ``record`` also its steps. Raises InputError where it cannot be."""
    found = experiment(row)
    terms = resolve(found.deployment, client=found.harness)
    run = fitting(found, model_of(found, terms), record)
    return Rehearsed(found, terms, run, measure(found, run, terms))


def answer(row: Row, look: Callable[[Rehearsed], None] | None = None) -> Answer:
    """Predict one row; what cannot be predicted is named. ``look`` is shown the rehearsal, with its steps."""
    try:
        done = rehearsed(row, record=look is not None)
    except (InputError, CatalogError) as error:
        return Answer(UNSUPPORTED, str(error))
    if look:
        look(done)
    return answer_of(done)


def answer_of(done: Rehearsed) -> Answer:
    """The metrics with their 80% intervals."""
    found, p = done.experiment, done.prediction
    kind = novelty(found.deployment)
    band = lambda metric, value: interval(metric, found.tested_as, kind, value)  # noqa: E731
    tpot, ttft = _ms(p.tpot_s_mean), _ms(p.ttft_s_mean)
    return Answer(
        ASSUMED if found.assumed else OK,
        found.assumed,
        (p.output_tokens_s_gpu, *band("throughput", p.output_tokens_s_gpu)),
        tpot,
        _ms(p.tpot_s_median),
        band("tpot", tpot) if tpot is not None else None,
        ttft,
        _ms(p.ttft_s_median),
        band("ttft", ttft) if ttft is not None else None,
        (p.joules_per_output_token, *band("energy", p.joules_per_output_token)),
    )


def _ms(seconds: float) -> float | None:
    return seconds * 1e3 if math.isfinite(seconds) else None


# What junk in a cell may still raise in a room below: a row that is not foreseen costs its own answer, not the table's.
UNFORESEEN = (ArithmeticError, LookupError, MemoryError, TypeError, ValueError)


def fenced(measured: Measurement, predict: Callable[[Row], Answer]) -> Answer:
    """What ``predict`` says of a row, whatever the row holds."""
    if measured.problem:
        return Answer(UNSUPPORTED, measured.problem)
    try:
        return predict(measured.row)
    except UNFORESEEN as error:
        return Answer(UNSUPPORTED, f"cannot be rehearsed ({type(error).__name__}: {error})")


def _measured(measured: Measurement) -> Answer:
    return fenced(measured, answer)


def validate(
    measured: Sequence[Measurement], processes: int, say: Callable[[str], None], ray: bool = False
) -> list[Answer]:
    """Answers in the order of the rows, the same on any number of processes and on Ray."""
    return of_each(_measured, measured, Crew(processes, ray), say)


Found = TypeVar("Found")
BUNDLE = 64  # rows


def of_each(
    work: Callable[[Measurement], Found], measured: Sequence[Measurement], crew: Crew, say: Callable[[str], None]
) -> list[Found]:
    """What ``work`` makes of each row, in the order of the rows. Rows go out in bundles: one alone is done in a moment."""
    rows = list(measured)
    bundles = [rows[first : first + BUNDLE] for first in range(0, len(rows), BUNDLE)]
    found: dict[int, list[Found]] = {}
    for number, part in spread(partial(_bundle, work), bundles, crew):
        found[number] = part
        say(f"predicted {sum(map(len, found.values())):,} of {len(rows):,} rows")
    return [one for number in range(len(bundles)) for one in found[number]]


def _bundle(work: Callable[[Measurement], Found], rows: Sequence[Measurement]) -> list[Found]:
    return [work(m) for m in rows]


COLUMNS = (
    "id", "status", "reason", "output_tokens_s_gpu", "output_tokens_s_gpu_p10", "output_tokens_s_gpu_p90", "tpot_ms_mean",
    "tpot_ms_median", "tpot_ms_p10", "tpot_ms_p90", "ttft_ms_mean", "ttft_ms_median", "ttft_ms_p10", "ttft_ms_p90",
    "joules_per_output_token", "joules_p10", "joules_p90",
)  # fmt: skip


def predictions_csv(measured: Sequence[Measurement], answers: Sequence[Answer]) -> str:
    """One line per input row, in input order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for m, a in zip(measured, answers, strict=True):
        none2, none3 = (None, None), (None, None, None)
        values = [*(a.rate or none3), a.tpot_mean, a.tpot_median, *(a.tpot_band or none2)]
        values += [a.ttft_mean, a.ttft_median, *(a.ttft_band or none2), *(a.joules or none3)]
        writer.writerow([m.id, a.status, a.reason, *("" if v is None else f"{v:.6g}" for v in values)])
    return out.getvalue()
