"""What happened in a window of a run, as spans of a trace: the steps of workers and the phases of requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.report.perfetto import Life, Span
from tokenworks.twin.cell import RequestLog, StepLog


def steps_of(log: StepLog, workers: Sequence[str]) -> Iterator[Span]:
    """Steps and leaps; a leap is one span of equal batches in a row."""
    for i in range(len(log.worker)):
        kind = "prefill and decode" if log.mixed[i] and log.sequences[i] else "prefill" if log.mixed[i] else "decode"
        said = {"steps": int(log.steps[i]), "sequences": int(log.sequences[i]), "prompt tokens": int(log.tokens[i])}
        start_s, end_s = float(log.start[i]) / TICKS_PER_S, float(log.end[i]) / TICKS_PER_S
        yield Span(workers[log.worker[i]], kind, start_s, end_s, said)


def lives_of(requests: Requests, log: RequestLog, services: Sequence[str], window_s: tuple[float, float]) -> list[Life]:
    """Waiting (arrival to first token) and decoding of every request that was alive in the window, cut to it."""
    first, last = (round(s * TICKS_PER_S) for s in window_s)
    found = []
    for phase, begin, end in (
        ("waiting and prefill", log.arrival, np.where(log.first_token >= 0, log.first_token, log.finish)),
        ("decode", np.where(log.first_token >= 0, log.first_token, last), log.finish),
    ):
        until = np.where(end >= 0, end, last)
        for i in np.flatnonzero((begin < last) & (until > first) & (until > begin)):
            start_s, end_s = (float(np.clip(t, first, last)) / TICKS_PER_S for t in (begin[i], until[i]))
            found.append(Life(services[requests.service[i]], int(i), phase, start_s, end_s))
    return found
