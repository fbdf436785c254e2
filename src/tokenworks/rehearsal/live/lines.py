"""The figures of one service on both sides, each with what the model knows of it and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenworks.accuracy.certainty import Evidence
from tokenworks.events.results import Interval
from tokenworks.rehearsal.live.recorded import Floats, Recorded

OK, UNSURE, DRIFT, NOT_JUDGED = "ok", "unsure", "drift", ""
LEAST = {50: 20, 95: 60, 99: 100}  # requests below which a percentile is shown and not judged
EDGE_S = 1e-3  # an end so little after the last one still belongs to the window


@dataclass(frozen=True)
class Bounds:
    """Relative differences of live from twin that raise no alarm."""

    throughput: float = 0.05
    p50: float = 0.10  # medians of latencies
    tail: float = 0.25  # p95 and p99
    queue: float = 0.25  # requests in flight, and those that wait for their first token
    energy: float = 0.10  # joules per token
    cost: float = 0.20  # dollars per token: demand charges also depend on what else the hour held


@dataclass(frozen=True)
class Line:
    """One figure of both. The twin's is an 80% interval of the model."""

    what: str
    unit: str  # s, tokens/s, requests, share, USD/Mtok, J/token
    live: float  # NaN: not known
    twin: Interval
    bound: float | None
    state: str  # OK, UNSURE: beyond the bound, within the interval; DRIFT: beyond both; NOT_JUDGED

    @property
    def difference(self) -> float:
        """live / twin − 1; NaN where there is nothing to compare."""
        return self.live / self.twin.value - 1 if self.twin.value > 0 else float("nan")


def within(side: Recorded, window: tuple[float, float]) -> np.typing.NDArray[np.bool_]:
    """What ended in the window."""
    return side.finished & (side.end_s >= window[0]) & (side.end_s <= window[1] + EDGE_S)


def rates(live: Recorded, twin: Recorded, window: tuple[float, float], bounds: Bounds) -> Iterator[Line]:
    length = window[1] - window[0]
    tokens = [float(side.output_tokens[within(side, window)].sum()) / length for side in (live, twin)]
    if np.isnan(live.e2e_s).all():
        tokens[0] = float("nan")
    yield _line("output tokens/s", "tokens/s", tokens[0], _point(tokens[1]), bounds.throughput)


def latencies(
    live: Recorded, twin: Recorded, window: tuple[float, float], bounds: Bounds, known: Evidence
) -> Iterator[Line]:
    """Of the requests that ended on both sides: the same requests, so that chance has no part in the difference."""
    both = (live.arrival_s >= window[0]) & twin.finished & (live.finished | np.isnan(live.e2e_s))
    for what, name, shares in (
        ("TTFT", "ttft_s", (50, 95, 99)),
        ("TPOT", "tpot_s", (50, 95, 99)),
        ("E2E", "e2e_s", (50, 99)),
    ):
        mine, its = getattr(live, name)[both], getattr(twin, name)[both]
        if np.isnan(mine).all():
            mine = np.full(len(mine), np.nan)
        else:
            pairs = ~(np.isnan(mine) | np.isnan(its))
            mine, its = mine[pairs], its[pairs]
        for share in shares:
            bound = bounds.p50 if share == 50 else bounds.tail
            enough = len(its) >= LEAST[share]
            predicted = _band(known, what, _percentile(its, share))
            yield _line(f"{what} p{share}", "s", _percentile(mine, share), predicted, bound if enough else None)


def _percentile(values: Floats, share: int) -> float:
    values = values[~np.isnan(values)]
    return float(np.percentile(values, share)) if len(values) else float("nan")


def _band(known: Evidence, what: str, value: float) -> Interval:
    """An answer from end to end is a first token and many others: as unsure as the less sure of the two."""
    names = {"TTFT": ("ttft",), "TPOT": ("tpot",), "E2E": ("ttft", "tpot")}[what]
    ends = [known.factors(name) for name in names]
    return Interval(value, value * min(low for low, _ in ends), value * max(high for _, high in ends))


def queues(
    live: Recorded, twin: Recorded, window: tuple[float, float], bounds: Bounds, known: Evidence
) -> Iterator[Line]:
    for what, metric, ends in (("in flight", "E2E", "e2e_s"), ("before first token", "TTFT", "ttft_s")):
        mine, its = (_mean_number(side.arrival_s, getattr(side, ends), window) for side in (live, twin))
        if np.isnan(getattr(live, ends)).all():
            mine = float("nan")
        enough = len(live) >= LEAST[50]
        yield _line(what, "requests", mine, _band(known, metric, its), bounds.queue if enough else None)


def _mean_number(begin_s: Floats, length_s: Floats, window: tuple[float, float]) -> float:
    """Mean number of requests inside over the window; those without an end stay to its end."""
    first, last = window
    end_s = np.where(np.isnan(length_s), last, begin_s + length_s)
    inside = np.clip(end_s, first, last) - np.clip(begin_s, first, last)
    return float(inside.sum() / (last - first))


def costs(
    live: Recorded, twin: Recorded, window: tuple[float, float], bounds: Bounds, known: Evidence
) -> Iterator[Line]:
    """Of requests that ended on both sides: their own share, without idle time."""
    both = (live.arrival_s >= window[0]) & twin.finished & (live.finished | np.isnan(live.e2e_s))
    cached = [_cached(side.rows(both)) for side in (live, twin)]
    yield _line("cached input", "share", cached[0], _point(cached[1]), None)
    tokens = max(1, int(twin.output_tokens[both].sum()))
    slow, fast = known.factors("throughput")
    usd = float(np.nansum(twin.usd[both])) / tokens * 1e6
    spent = _sum(live.usd[both]) / tokens * 1e6
    yield _line("$/Mtok allocated", "USD/Mtok", spent, Interval(usd, usd / fast, usd / slow), bounds.cost)
    joules = float(np.nansum(twin.joules[both])) / tokens
    low, high = known.factors("energy")
    drawn, predicted = _sum(live.joules[both]) / tokens, Interval(joules, joules * low, joules * high)
    yield _line("J/token, boards", "J/token", drawn, predicted, bounds.energy)


def _cached(side: Recorded) -> float:
    """Share of the input; NaN where it is not known of every request."""
    if (side.cached_tokens < 0).any() or not len(side):
        return float("nan")
    return float(side.cached_tokens.sum()) / max(1, int(side.input_tokens.sum()))


def _sum(values: Floats) -> float:
    """NaN where any of them is not known: a part of a sum compares with nothing."""
    return float(values.sum())


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _line(what: str, unit: str, live: float, twin: Interval, bound: float | None) -> Line:
    return Line(what, unit, live, twin, bound, _state(live, twin, bound))


def _state(live: float, twin: Interval, bound: float | None) -> str:
    """Where there is nothing to divide by, nothing is judged."""
    if bound is None or np.isnan(live) or not twin.value > 0:
        return NOT_JUDGED
    if abs(live / twin.value - 1) <= bound:
        return OK
    return UNSURE if twin.low <= live <= twin.high else DRIFT
