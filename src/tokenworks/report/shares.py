"""What each request used: a service's dollars and joules, shared out by the GPU time that its tokens took."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.requests import Requests
from tokenworks.events.results import RunResult
from tokenworks.twin.cell import RequestLog

Floats = NDArray[np.float64]


def request_shares(requests: Requests, log: RequestLog, result: RunResult) -> tuple[Floats, Floats]:
    """(dollars, board joules) of every request; idle time of the service's own GPUs included.

    They sum to what the service pays and draws, so a request that only waited is free and the others carry idleness.
    """
    usd, joules = np.zeros(len(requests)), np.zeros(len(requests))
    for number, service in enumerate(result.services):
        rows = np.flatnonzero((requests.service == number) & (log.first_token >= 0))
        weight = _weights(requests, log, result, rows, service.name)
        if weight.sum() > 0:
            share = weight / weight.sum()
            usd[rows] = share * result.money.by_service_usd[number]
            joules[rows] = share * (service.dynamic_j + service.static_j)
    return usd, joules


def _weights(requests: Requests, log: RequestLog, result: RunResult, rows: NDArray[np.int64], name: str) -> Floats:
    """Busy dollars of each request before idleness: each purpose over the tokens that it is for."""
    paid = {r.label: r.value for r in result.money.allocation if r.parent == name}
    cached = log.cached[rows].astype(float)
    tokens = (requests.input_tokens[rows] - cached, cached, log.produced[rows].astype(float))
    purposes = (("prefill", "prompt in memory"), ("cached input",), ("decode",))
    weight = np.zeros(len(rows))
    for made, labels in zip(tokens, purposes, strict=True):
        weight += sum(paid.get(label, 0.0) for label in labels) * made / max(1.0, made.sum())
    return weight
