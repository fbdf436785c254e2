"""Client mixes: many callers, each with its own rate over time, its own burstiness and its own lengths (ServeGen)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.workload.arrivals import Floats, running_sum, weibull_scale
from tokenworks.workload.lengths import Histogram
from tokenworks.workload.streams import merged, regrouped, requests, until

BATCH = 1024  # arrivals of one client drawn at once


@dataclass(frozen=True)
class Client:
    """One caller. In window w its gaps are Gamma (or Weibull) distributed with this shape and mean 1 / rate."""

    rate_s: Floats
    shape: Floats
    weibull: np.typing.NDArray[np.bool_]
    inputs: Histogram
    outputs: Histogram


@dataclass(frozen=True)
class ClientMix:
    """Clients with windows of equal length; after the last one everything begins again."""

    name: str
    window_s: float
    clients: tuple[Client, ...]
    source: str

    @property
    def span_s(self) -> float:
        return self.window_s * len(self.clients[0].rate_s)

    @property
    def rate_s(self) -> float:
        """Mean of all clients over the whole span."""
        return float(sum(client.rate_s.mean() for client in self.clients))


def arrivals(
    client: Client, window_s: float, factor: float, rng: np.random.Generator, start_s: float
) -> Iterator[Floats]:
    """Arrival times in seconds from ``start_s`` in the mix. A gap is drawn by the window in which it begins, for a
    rate of 1, and lasts as long as the changing rate takes to pass it: windows need not begin with an arrival."""
    need, number = 0.0, int(start_s // window_s)
    while True:
        w = number % len(client.rate_s)
        begin = max(start_s, number * window_s)
        rate, end = float(client.rate_s[w]) * factor, (number + 1) * window_s
        clock = begin + need / rate if rate else math.inf
        if clock >= end:
            need -= (end - begin) * rate
        while clock < end:
            gaps = _gaps(client, w, rng)
            times = running_sum(clock, gaps / rate)
            yield np.concatenate([[clock], times[times < end]])[:BATCH] - start_s
            clock = float(times[-1])
            if clock >= end:
                first = int(np.searchsorted(times, end, side="left"))
                need = (float(times[first]) - end) * rate
        number += 1


def _gaps(client: Client, w: int, rng: np.random.Generator) -> Floats:
    """Gaps of mean 1."""
    shape = float(client.shape[w])
    if client.weibull[w]:
        return weibull_scale(shape) * rng.weibull(shape, BATCH)
    return rng.gamma(shape, 1.0 / shape, BATCH)


def requests_of(
    client: Client, window_s: float, factor: float, rngs: Sequence[np.random.Generator], start_s: float
) -> Iterator[Requests]:
    """Requests of one client; arrivals, prompts and answers have a generator each."""
    for times in arrivals(client, window_s, factor, rngs[0], start_s):
        yield requests(times, client.inputs.draw(len(times), rngs[1]), client.outputs.draw(len(times), rngs[2]))


def mixed(
    mix: ClientMix, rate_s: float, horizon_s: float, rng: np.random.Generator, chunk: int, offset_s: float
) -> Iterator[Requests]:
    """All clients with their rates scaled by one factor, so that the mean over the whole span is ``rate_s``. A client
    is a tenant."""
    factor = rate_s / mix.rate_s
    streams = [
        _named(requests_of(client, mix.window_s, factor, own.spawn(3), offset_s), number)
        for number, (client, own) in enumerate(zip(mix.clients, rng.spawn(len(mix.clients)), strict=True))
    ]
    yield from regrouped(until(merged(streams), horizon_s), chunk)


def _named(stream: Iterator[Requests], number: int) -> Iterator[Requests]:
    for made in stream:
        yield replace(made, tenant=np.full(len(made), number, np.int32))
