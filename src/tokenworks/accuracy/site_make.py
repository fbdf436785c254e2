"""`tokenworks calibrate --with`: a site calibration from an owner's measurements. Nothing shipped is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.bench_formats.bench import Unused
from tokenworks.accuracy.bench_formats.read import Source
from tokenworks.accuracy.coverage import METRIC, columns_of
from tokenworks.accuracy.fit import METRICS, linearise
from tokenworks.accuracy.intervals import LEVEL
from tokenworks.accuracy.site_fit import as_effects, fit_site, predicted, site_table, solve, terms_at
from tokenworks.accuracy.site_points import Point, named
from tokenworks.errors import InputError
from tokenworks.physics.site import FORMAT, IDENTITY, identity, shipped_id
from tokenworks.physics.terms import NAMES

Array = NDArray[np.float64]
Bounds = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Calibrated:
    """One deployment before and after: log(measured / predicted), shape (points, metrics)."""

    points: list[Point]
    shifts: Array
    before: Array
    after: Array
    bounds: Bounds


def calibrated(points: Sequence[Point], say: Callable[[str], None]) -> list[Calibrated]:
    """Every measured deployment by itself, in the order of their identities. Raises InputError where a point cannot be
    rehearsed."""
    groups: dict[tuple[str | int, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(identity(point.case.experiment.deployment), []).append(point)
    found = []
    for number, key in enumerate(sorted(groups, key=str), 1):
        say(f"fitting deployment {number} of {len(groups)}")
        found.append(_calibrated(groups[key]))
    return found


def _calibrated(points: list[Point]) -> Calibrated:
    cases = [point.case for point in points]
    target = np.array([case.log_target for case in cases])
    try:
        shifts = fit_site(cases)
    except InputError as error:
        places = ", ".join(dict.fromkeys(point.place for point in points))
        raise InputError(f"{places}: {error}") from error
    before = target - predicted(cases, np.zeros(len(NAMES)))
    after = target - predicted(cases, shifts)
    return Calibrated(points, shifts, before, after, _bounds(points, shifts, target))


def _bounds(points: list[Point], shifts: Array, target: Array) -> Bounds:
    """80% bounds per measured metric: those of published sweeps of which as many points were known, wider where these
    points contradict each other more than that."""
    left_out = left_out_errors(points, shifts, target)
    found: Bounds = {}
    for kind in dict.fromkeys(METRIC):
        columns = columns_of(kind)
        count = int(np.isfinite(target[:, columns]).any(axis=1).sum())
        if not count:
            continue
        low, high = published_bounds(kind, count)
        errors = np.abs(left_out[:, columns][np.isfinite(left_out[:, columns])])
        wider = max(1.0, float(np.quantile(errors, LEVEL)) / ((high - low) / 2)) if count > 2 and len(errors) else 1.0
        found[kind] = {"low": round(low * wider, 4), "high": round(high * wider, 4)}
    return found


def left_out_errors(points: list[Point], shifts: Array, target: Array) -> Array:
    """log(measured / predicted) of every point by shifts that the other points would give, along the slopes at ``shifts``;
    shape (points, metrics)."""
    answers = [linearise(point.case, terms_at(point.case, shifts)) for point in points]
    gap = target - np.array([base for base, _ in answers])
    slopes = np.array([its for _, its in answers])
    errors = np.full(gap.shape, np.nan)
    for number in range(len(points)):
        others = np.arange(len(points)) != number
        if others.any():
            errors[number] = gap[number] - slopes[number] @ (solve(gap[others], slopes[others], shifts) - shifts)
    return errors


def published_bounds(kind: str, points: int) -> tuple[float, float]:
    """80% bounds of log(measured / predicted) of the left-out points of published sweeps with at most as many known."""
    table = site_table()["bounds"][kind]
    known = max(int(count) for count in table if int(count) <= points)
    low, high = table[str(known)]
    return float(low), float(high)


def site_file(found: Sequence[Calibrated], sources: Sequence[Source], unused: Sequence[Unused]) -> bytes:
    """The file: what it was made of, effects and intervals by deployment. The same measurements give the same bytes."""
    dates = sorted({point.date for its in found for point in its.points if point.date})
    table = {
        "format": FORMAT,
        "shipped": shipped_id(),
        "measured": {"from": dates[0], "to": dates[-1]} if dates else {},
        "files": [{"path": source.path, "sha256": source.sha256} for source in sources],
        "unused": [{"place": its.place, "reason": its.reason} for its in unused],
        "deployments": [_deployment(its) for its in found],
    }
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def _deployment(its: Calibrated) -> dict[str, Any]:
    deployment = its.points[0].case.experiment.deployment
    return {
        "deployment": dict(zip(IDENTITY, identity(deployment), strict=True)),
        "effects": as_effects(its.shifts),
        "intervals": its.bounds,
        "points": [
            {"place": p.place, "client": p.kind, "date": p.date, "load": _load(p), "measured": named(p.case.log_target)}
            | {"error_before": _errors(its.before[number]), "error_after": _errors(its.after[number])}
            for number, p in enumerate(its.points)
        ],
    }


def _load(point: Point) -> dict[str, Any]:
    row, found = point.case.row, point.case.experiment
    load = {"mode": found.mode, "clients": row.concurrency, "requests_s": row.request_rate, "batch": row.batch_size}
    lengths = {"input_tokens": row.isl, "output_tokens": row.osl, "gpus": row.gpus}
    return {key: value for key, value in (load | lengths).items() if value is not None}


def _errors(gaps: Array) -> dict[str, float]:
    """Signed relative errors of the predictions, by metric."""
    found = {name: float(np.expm1(-gap)) for name, gap in zip(METRICS, gaps, strict=True) if np.isfinite(gap)}
    return {name: round(error, 4) for name, error in found.items()}


def refuse_to_overwrite(path: Path) -> None:
    """Only an older site calibration is replaced. Raises InputError for any other file."""
    if not path.exists():
        return
    if path.is_dir():
        raise InputError(f"{path} is a folder: --out names the file of the site calibration")
    try:
        known = json.loads(path.read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise InputError(f"{path} exists and is no site calibration: name another file with --out")


def said(found: Sequence[Calibrated], unused: Sequence[Unused]) -> str:
    """What the terminal shows: per deployment the errors of its points before and after, and how sure it is now."""
    lines: list[str] = []
    for its in found:
        d = its.points[0].case.experiment.deployment
        degrees = f"tp {d.tp}, pp {d.pp}, dp {d.dp}, ep {d.ep}"
        engine = " ".join(filter(None, (d.engine, d.engine_version)))
        count = f"{len(its.points)} point{'s' if len(its.points) > 1 else ''}"
        lines.append(f"{d.model} in {d.weights} by {engine} on {d.accelerator}, {degrees}: {count}")
        for kind in its.bounds:
            columns = columns_of(kind)
            before, after = (_median_error(gaps[:, columns]) for gaps in (its.before, its.after))
            low, high = (np.expm1(its.bounds[kind][side]) for side in ("low", "high"))
            lines.append(
                f"  {kind:10} median error of the points {before:5.1%} before, {after:5.1%} now; "
                f"8 of 10 others within {low:+.0%} to {high:+.0%}"
            )
    lines += [f"not used: {its.place}: {its.reason}" for its in unused]
    return "\n".join(lines)


def _median_error(gaps: Array) -> float:
    return float(np.median(np.abs(np.expm1(-gaps[np.isfinite(gaps)]))))
