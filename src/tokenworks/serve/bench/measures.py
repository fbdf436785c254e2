"""From answers to the figures of a bench."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenworks.errors import InputError
from tokenworks.serve.bench.answer import Answer
from tokenworks.serve.bench.player import Played
from tokenworks.serve.bench.statistic import Statistic, statistic


@dataclass(frozen=True)
class Objectives:
    """What a request must keep to count as goodput, seconds; None: no such objective."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def kept(self, answer: Answer) -> bool:
        """An answer of one token has no TPOT and keeps that objective."""
        pairs = ((answer.ttft_s, self.ttft_s), (answer.tpot_s, self.tpot_s), (answer.e2e_s, self.e2e_s))
        return not any(limit is not None and value > limit for value, limit in pairs)

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.ttft_s, self.tpot_s, self.e2e_s))


NO_OBJECTIVES = Objectives()


@dataclass(frozen=True)
class Failure:
    """Requests that failed alike."""

    kind: str
    count: int
    said: str  # what the first of them was told


@dataclass(frozen=True)
class Counting:
    """What the server counted against what was seen."""

    told: int  # answers with the server's usage
    tokens: int  # output tokens of these, as the server counts
    chunks: int  # chunks with output of these
    odd: int  # of these, answers with more chunks than tokens: the two contradict each other
    untold: int  # answers without usage: a chunk counts as a token


@dataclass(frozen=True)
class Figures:
    """Of the requests that were to be sent after the warm-up. Latencies count from when a request was to be sent."""

    done: int
    failed: int
    warmup: int  # requests before that, not in any figure
    span_s: float  # from the first of them to the last end
    requests_s: float
    output_tokens_s: float
    input_tokens_s: float
    ttft: Statistic  # seconds
    tpot: Statistic
    itl: Statistic  # gaps between chunks with output
    e2e: Statistic
    input_tokens: Statistic
    output_tokens: Statistic
    cached_share: float  # of the input, as the server says; NaN where it does not
    failures: tuple[Failure, ...]
    counting: Counting
    good: int  # requests that kept all objectives
    lateness: Statistic  # seconds by which the generator was behind its schedule
    lag: Statistic  # seconds by which its loop woke late


def figures(played: Played, warmup_s: float, objectives: Objectives) -> Figures:
    """Raises InputError where no request of the measured time was answered."""
    counted = [a for a in played.answers if a.at_s >= warmup_s]
    done = [a for a in counted if not a.error]
    if not done:
        raise InputError(_nothing(counted, warmup_s))
    begin, end = min(a.at_s for a in counted), max(a.end_s for a in counted)
    span_s = end - begin
    inputs = [float(a.input_asked if a.input_tokens is None else a.input_tokens) for a in done]
    outputs = [float(a.tokens) for a in done]
    return Figures(
        done=len(done),
        failed=len(counted) - len(done),
        warmup=len(played.answers) - len(counted),
        span_s=span_s,
        requests_s=len(done) / span_s,
        output_tokens_s=sum(outputs) / span_s,
        input_tokens_s=sum(inputs) / span_s,
        ttft=statistic([a.ttft_s for a in done]),
        tpot=statistic([a.tpot_s for a in done]),
        itl=statistic(_gaps(done)),
        e2e=statistic([a.e2e_s for a in done]),
        input_tokens=statistic(inputs),
        output_tokens=statistic(outputs),
        cached_share=_cached(done),
        failures=failures(counted),
        counting=_counting(done),
        good=sum(objectives.kept(a) for a in done),
        lateness=statistic([max(0.0, a.sent_s - a.at_s) for a in counted]),
        lag=statistic(played.lags_s),
    )


def _gaps(done: Sequence[Answer]) -> np.typing.NDArray[np.float64]:
    gaps = [np.diff(np.frombuffer(a.stamps_s, np.float64)) for a in done if a.chunks > 1]
    return np.concatenate(gaps) if gaps else np.zeros(0)


def _cached(done: Sequence[Answer]) -> float:
    told = [(a.cached_tokens, a.input_tokens) for a in done if a.cached_tokens is not None and a.input_tokens]
    return sum(c for c, _ in told) / sum(i for _, i in told) if told else float("nan")


def _counting(done: Sequence[Answer]) -> Counting:
    told = [(a.output_tokens, a.chunks) for a in done if a.output_tokens is not None]
    return Counting(
        len(told), sum(t for t, _ in told), sum(c for _, c in told), sum(c > t for t, c in told), len(done) - len(told)
    )


def failures(counted: Sequence[Answer]) -> tuple[Failure, ...]:
    """By kind, the most frequent first."""
    kinds = defaultdict[str, list[str]](list)
    for answer in counted:
        if answer.error:
            kinds[answer.error].append(answer.said)
    return tuple(
        Failure(kind, len(said), said[0]) for kind, said in sorted(kinds.items(), key=lambda i: (-len(i[1]), i[0]))
    )


def _nothing(counted: Sequence[Answer], warmup_s: float) -> str:
    if not counted:
        return f"no request was to be sent after the warm-up of {warmup_s:g} s: lengthen --duration"
    said = "; ".join(f"{f.count:,} × {f.kind}{f': {f.said[:200]}' if f.said else ''}" for f in failures(counted))
    return f"none of {len(counted):,} requests was answered: {said}"
