"""From results of a benchmark client to measured experiments of one deployment, ready to be replayed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from tokenworks import catalog
from tokenworks.accuracy.bench_formats.bench import Bench, Stated, Unused
from tokenworks.accuracy.bench_formats.read import Source
from tokenworks.accuracy.experiments import Experiment, experiment
from tokenworks.accuracy.fit import METRICS, Case, targets_of
from tokenworks.accuracy.loads import MAX_PROMPTS, Load
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.site_facts import Measured, completed
from tokenworks.errors import InputError
from tokenworks.physics.deployment import Deployment

KEPT_UP = 0.95  # of the asked-for rate: from there a limit of clients did not bind
SEED = 0
COLUMNS = {
    "accelerator": "gpu", "model": "model", "engine": "engine", "engine_version": "engine_version",
    "weights": "quantization", "tp": "tp", "pp": "pp", "dp": "dp_attention", "ep": "moe_ep",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One measured experiment and where it was read. `case.experiment.deployment` is what was measured."""

    place: str
    kind: str
    date: str
    case: Case


def points_of(sources: Sequence[Source], measured: Measured) -> tuple[list[Point], list[Unused]]:
    """Every measured experiment, and what says nothing and why. Raises InputError."""
    points: list[Point] = []
    unused: list[Unused] = []
    for source in sources:
        unused += source.unused
        for run in source.runs:
            points.append(_of_bench(run, measured))
            unused += _strange_joules(run, points[-1])
        for number, row in enumerate(source.rows, 2):
            found = _of_row(row, measured, f"{source.path}:{number}")
            points.append(found) if isinstance(found, Point) else unused.append(found)
    return points, unused


def _of_bench(run: Bench, measured: Measured) -> Point:
    facts = completed(measured, run.facts, run.place)
    mode = _mode(run)
    base = experiment(_row(facts, run, mode))
    found = replace(base, deployment=_deployment(base, facts, measured), mode=mode, harness="")
    found = replace(found, load=_load(run, mode, found.replicas * found.deployment.dp), assumed="")
    gpus = found.replicas * found.deployment.gpus
    rate = run.output_tokens_s / gpus if run.output_tokens_s else run.output_tokens_s_gpu
    joules = run.joules_per_output_token if run.boards == gpus else None
    values = (rate, run.tpot_s_mean, run.tpot_s_median, run.ttft_s_mean, run.ttft_s_median, joules)
    logs = np.array([math.log(v) if v else math.nan for v in values])
    return Point(run.place, run.kind, run.date, Case(found, _row(facts, run, mode), logs, 1.0, (), "calibration"))


def _strange_joules(run: Bench, point: Point) -> list[Unused]:
    """Joules of more or fewer GPUs than worked for it."""
    gpus = point.case.row.gpus
    if run.joules_per_output_token is None or run.boards == gpus:
        return []
    return [Unused(run.place, f"joules alone: they are of {run.boards} GPUs, the deployment has {gpus}")]


def _mode(run: Bench) -> str:
    """What bounded the load: the clock, the clients, or nothing. Where both are set, the clock, if it was kept up with."""
    if run.rate_s is None:
        return "closed" if run.clients else "offline"
    kept_up = run.clients is None or run.requests_s is None or run.requests_s >= KEPT_UP * run.rate_s
    return "open" if kept_up else "closed"


def _row(facts: dict[str, Any], run: Bench, mode: str) -> Row:
    values: dict[str, Any] = {field.name: None if "None" in str(field.type) else "" for field in fields(Row)}
    values |= {column: facts[name] for name, column in COLUMNS.items()}
    values["gpus"] = facts["tp"] * facts["pp"] * facts["dp"] * facts["workers"]
    values |= {"isl": run.input_tokens, "osl": run.output_tokens, "request_rate": run.rate_s}
    values |= {"concurrency": run.clients, "serving": "offline_max" if mode == "offline" else ""}
    if run.lowest_share is not None:
        values |= {"length_mode": "max_of_random_range", "random_range_ratio": run.lowest_share}
    return Row(**values)


def _deployment(base: Experiment, facts: dict[str, Any], measured: Measured) -> Deployment:
    if measured.deployment is not None and base.mode != "static":  # a static batch sets its own limits
        return replace(measured.deployment, site=None)
    return replace(base.deployment, kv=facts.get("kv", base.deployment.kv))


def _load(run: Bench, mode: str, parts: float) -> Load:
    """The requests of one attention rank of one replica, as the client sent them: a closed loop begins with all its
    clients at once."""
    per_client = int(catalog.load("harnesses", "steady")["prompts_per_client"])
    sent = run.requests or per_client * (run.clients or 1)
    clients = max(1, round(min(run.clients or 0, sent) / parts)) if mode == "closed" else 0
    count = max(1, clients, min(MAX_PROMPTS, round(sent / parts)))
    rng = np.random.default_rng(SEED)
    arrival = (
        np.cumsum(rng.exponential(parts / run.rate_s, count)) if mode == "open" and run.rate_s else np.zeros(count)
    )
    lengths = [_lengths(tokens, run.lowest_share, count, rng) for tokens in (run.input_tokens, run.output_tokens)]
    return Load(arrival, lengths[0], lengths[1], clients)


def _lengths(tokens: float, lowest: float | None, count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if lowest is None:
        return np.full(count, max(1, round(tokens)), dtype=np.int64)
    return rng.integers(max(1, int(lowest * tokens)), max(1, int(tokens)) + 1, count)


def _of_row(measurement: Measurement, measured: Measured, place: str) -> Point | Unused:
    """A line of a table of measurements: its columns state the deployment where they are filled."""
    row = measurement.row
    if measurement.problem:
        raise InputError(f"{place}: {measurement.problem}")
    if row.disaggregated == "true":
        return Unused(place, "separate prefill and decode workers: only aggregated deployments are calibrated")
    logs = targets_of(measurement)
    if not np.isfinite(logs).any():
        return Unused(place, "nothing measured stands in it")
    stated = {name: Stated(column, getattr(row, column)) for name, column in COLUMNS.items() if getattr(row, column)}
    if row.spec_decoding not in ("", "none", "assumed_none"):
        stated["speculation"] = Stated("spec_decoding", row.spec_decoding)
    facts = completed(measured, stated, place)
    gpus = row.gpus or facts["tp"] * facts["pp"] * facts["dp"] * facts["workers"]
    columns = {column: facts[name] for name, column in COLUMNS.items()}
    row = replace(row, **columns, gpus=gpus, dataset="", date="")
    try:
        base = experiment(row)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    found = replace(base, deployment=_deployment(base, facts, measured), harness="")
    return Point(place, "CSV", measurement.row.date, Case(found, row, logs, 1.0, (), "calibration"))


def named(logs: np.ndarray[Any, Any]) -> dict[str, float]:
    """Metrics by name, where they exist."""
    return {name: float(f"{math.exp(v):.6g}") for name, v in zip(METRICS, logs, strict=True) if math.isfinite(v)}
