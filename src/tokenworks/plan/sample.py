"""What a service is asked for, as a sample of its requests: drawn from the same streams that a run of the factory gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.plan.ask import Array, Ask
from tokenworks.plan.demand import AskedService, Demand, Load, peak_of
from tokenworks.workload.generate import base_rate_s, stream
from tokenworks.workload.streams import head

SAMPLE = 4000  # requests; what the wide pass needs of them are means, quantiles and spreads


@dataclass(frozen=True)
class Asked:
    """A service's demand."""

    service: AskedService
    ask: Ask
    rate_s: float  # requests per second, at the busiest time of the day
    input_tokens: float  # mean of a prompt, with what a prefix cache knows
    output_tokens: float  # mean of an answer
    output_p95: float
    cached: bool  # requests share prefixes: a prefix cache is worth having
    peak: float = 1.0  # that rate over the mean


def asked_of(demand: Demand, service: AskedService) -> Asked:
    """Rate, lengths and objectives of a service. Raises InputError where nobody asks."""
    loads = demand.loads_of(service.name)
    rates = [rate_of(load) for _, load in loads]
    total, most = sum(rates), sum(rate * peak_of(load) for rate, (_, load) in zip(rates, loads, strict=True))
    if total <= 0:
        raise InputError(f"{service.name}: nobody asks; zero demand needs no plan")
    parts = [
        _drawn(load, number, rate, max(50, round(SAMPLE * rate / total)), demand.run.seed)
        for (number, load), rate in zip(loads, rates, strict=True)
    ]
    inputs = np.concatenate([p.input_tokens for p in parts]).astype(float)
    outputs = np.concatenate([p.output_tokens for p in parts]).astype(float)
    known = np.concatenate([known_tokens(p) for p in parts])
    shares = bool(known.any())
    slo = service.slo
    # a prompt computes at least one token: the last block is never taken whole from the cache
    ask = Ask(np.maximum(1.0, inputs - known), np.maximum(1.0, outputs), slo.ttft_p95_s, slo.tpot_p95_s, slo.e2e_p95_s,
              known if shares else np.zeros(0))  # fmt: skip
    return Asked(
        service, ask, most, float(inputs.mean()), float(outputs.mean()), float(np.quantile(outputs, 0.95)), shares,
        most / total,
    )  # fmt: skip


def rate_of(load: Load) -> float:
    """Requests per second of a workload with an absolute rate."""
    if load.scale.kind == "rate":
        return float(load.scale.value)
    return float(load.scale.value) * base_rate_s(load.plain())


def _drawn(load: Load, number: int, rate_s: float, count: int, seed: int) -> Requests:
    found = head(stream(load.plain(), 0, rate_s, max(3600.0, 4 * count / rate_s), seed, number), count)
    if found is None:
        raise InputError(f"{load.service}: its workload sends no request")
    return found


def known_tokens(requests: Requests) -> Array:
    """(n,) prompt tokens of leading blocks that an earlier request of the sample had, under a cache that forgets nothing:
    what a plan hopes for and the rehearsal checks."""
    found = np.zeros(len(requests))
    seen: set[int] = set()
    hashes, starts = requests.block_hash.tolist(), requests.block_start
    for i in range(len(requests) if hashes else 0):
        own = hashes[starts[i] : starts[i + 1]]
        hit = next((k for k, h in enumerate(own) if h not in seen), len(own))
        found[i] = hit * requests.hash_block_tokens
        seen.update(own)
    return np.asarray(np.minimum(found, requests.input_tokens - 1.0))
