"""One service in a closed loop in the twin: what it gives at so many callers, and the most that it gives within limits.

Planners that know no queue state their answers at a fixed concurrency: a closed loop is the demand under which such an
answer and one of ours can be rehearsed alike. Lengths are spread evenly by a fifth around their means, so that callers who
all begin at once do not stay in step; what happens in the first two lives of a request is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import yaml

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S
from tokenworks.rehearsal.demand import as_one, stream_of
from tokenworks.rehearsal.plant import Plant, plant
from tokenworks.rehearsal.play import play
from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import loads
from tokenworks.twin.statistics import latency, shifted

SPREAD = 0.2  # of lengths, each way
WARM, SEEN = 2.0, 3.0  # lives of a request: left out, measured
TRIES = 20
FIRST, WIDEST = 1.1, 4.0  # steps of the number of callers until it is enclosed: each the third power of the one before
CLOSE = 0.02  # of the number of callers
MOST = 60_000  # callers


@dataclass(frozen=True)
class Limits:
    """Of the means over requests, in seconds; infinite: none."""

    ttft_s: float = math.inf
    tpot_s: float = math.inf


@dataclass(frozen=True)
class Stand:
    """A service at so many callers: means after the warm-up."""

    clients: int
    gpus: int
    tokens_s_gpu: float  # output
    ttft_s: float  # infinite: nothing was answered in all that time
    tpot_s: float
    board_w: float  # of its boards, all of them

    def keeps(self, limits: Limits) -> bool:
        return self.ttft_s <= limits.ttft_s and self.tpot_s <= limits.tpot_s


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of prompts and answers."""

    input_tokens: float
    output_tokens: float

    def as_spec(self) -> dict[str, dict[str, Any]]:
        """As a workload of a factory file has them."""
        return {"input": _even(self.input_tokens), "output": _even(self.output_tokens)}


def _even(mean: float) -> dict[str, Any]:
    low, high = max(1, round(mean * (1 - SPREAD))), max(1, round(mean * (1 + SPREAD)))
    return {"kind": "uniform", "low": low, "high": high}


class ClosedLoop:
    """A service on enough systems of one kind, compiled once. Raises InputError for what a factory cannot be.

    ``service``: fields of a factory file's service but its name and place (no workers: one); ``life_s``: about how long a
    request takes.
    """

    def __init__(self, system: str, service: Mapping[str, Any], lengths: Lengths, life_s: float) -> None:
        self.lengths = lengths
        if not 0 < life_s < math.inf:
            raise InputError(f"a request's life of {life_s:g} s: above 0, e.g. 30 s")
        if "prefill" not in service:
            service = {"workers": 1, **service}
        pools = [service[p] for p in ("prefill", "decode") if p in service] or [service]
        gpus = sum(p.get("workers", 1) * _gpus(p) for p in pools)
        size = int(catalog.load("systems", system)["gpus"])
        count = sum(math.ceil(p.get("workers", 1) / max(1, size // _gpus(p))) for p in pools)
        self.gpus = gpus
        self.made = plant(_factory(system, count, service, lengths, life_s))

    def at(self, clients: int) -> Stand:
        """The service asked by so many callers."""
        load = self.made.factory.workload[0]
        assert load.arrivals is not None
        arrivals = load.arrivals.model_copy(update={"clients": clients, "requests": _requests(clients)})
        factory = self.made.factory.model_copy(update={"workload": (load.model_copy(update={"arrivals": arrivals}),)})
        return self._stand(replace(self.made, factory=factory), clients)

    def _stand(self, made: Plant, clients: int) -> Stand:
        run = made.factory.run
        twin = play(made, as_one([partial(stream_of, made, 0, 1.0)]).for_run(run))
        stats, line = twin.services[0], twin.timeline
        assert line is not None
        edges = np.arange(line.output_tokens.shape[-1]) * run.horizon_s / line.output_tokens.shape[-1]
        after = edges >= run.warmup_s
        seconds = run.horizon_s * float(after.mean())
        ttft = shifted(latency(stats.ttft_counts, stats.ttft_sum, stats.ttft_max), made.ingress_s[0])
        tpot = latency(stats.tpot_counts, stats.tpot_sum, stats.tpot_max)
        joules = float(twin.workers.dynamic_uj.sum() + twin.workers.static_uj.sum()) / MICROJOULES_PER_J
        tokens_s = float(line.output_tokens[0][after].sum()) / seconds
        busy_s = twin.end_ticks / TICKS_PER_S
        first, later = (x.mean_s if x.count else math.inf for x in (ttft, tpot))
        return Stand(clients, self.gpus, tokens_s / self.gpus, first, later, joules / busy_s)

    def most(self, limits: Limits, start: int) -> Stand | None:
        """The largest number of callers, to within 2%, at which both means keep their limits; None: not even one.

        Latencies grow with callers, so the number is enclosed from ``start`` on and the enclosure halved (in logarithms).
        """
        low: Stand | None = None
        high: int | None = None
        clients, factor = max(1, start), FIRST
        for _ in range(TRIES):
            now = self.at(clients)
            if now.keeps(limits):
                low = now
            else:
                high = clients
            if low and high:
                clients = int(math.sqrt(low.clients * high))
                if clients == low.clients or high / low.clients < 1 + CLOSE:
                    return low
            else:
                clients = math.ceil(clients * factor) if low else int(clients / factor)
                factor = min(WIDEST, factor**3)
                if not 1 <= clients <= MOST:
                    return low if low else self._one(limits)
        return low

    def _one(self, limits: Limits) -> Stand | None:
        """A single caller."""
        now = self.at(1)
        return now if now.keeps(limits) else None


def _requests(clients: int) -> int:
    """More than the callers can ask in the horizon."""
    return min(10_000_000, 40 * clients + 1000)


def _gpus(pool: Mapping[str, Any]) -> int:
    return int(pool.get("tp", 1) * pool.get("pp", 1) * pool.get("dp_attention", 1))


def _factory(system: str, count: int, service: Mapping[str, Any], lengths: Lengths, life_s: float) -> Factory:
    arrivals = {"kind": "closed-loop", "clients": 1, "requests": _requests(1)}
    horizon_s = math.ceil((WARM + SEEN) * life_s)
    data = {
        "factory": "closed loop",
        "site": {"cooling": "liquid"},
        "systems": [{"id": "all", "system": system, "count": count}],
        "services": [{"name": "service", "on": "all", **service}],
        "workload": [{"service": "service", "arrivals": arrivals, **lengths.as_spec()}],
        "run": {"horizon": f"{horizon_s} s", "warmup": f"{WARM * life_s:.1f} s", "seed": 1},
    }
    return loads(yaml.safe_dump(data, sort_keys=False), "closed loop")
