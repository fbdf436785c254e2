"""Recorded requests in the twin of a factory, at the times at which they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tokenworks.economics.account import account
from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.rehearsal.agents import AgentDemand, plain_columns
from tokenworks.rehearsal.live.from_usage import recorded
from tokenworks.rehearsal.live.prefixes import BLOCK_TOKENS, prefixes
from tokenworks.rehearsal.live.recorded import Live, Recorded
from tokenworks.rehearsal.metering import metered
from tokenworks.rehearsal.plant import Plant, plant, ticks
from tokenworks.rehearsal.play import Stop
from tokenworks.rehearsal.run import played
from tokenworks.rehearsal.use import physical_run
from tokenworks.spec.factory import Factory
from tokenworks.workload.streams import at_ticks, in_ticks

LONGER_SHARE, LONGER_S = 0.05, 1.0  # by which the twin runs on, so that the last requests can end
MOST_SPAN_S = 31 * 86_400.0
MOST_REQUESTS = 5_000_000  # all are in memory at once


@dataclass(frozen=True)
class Replay:
    """What the twin made of the same requests, row by row."""

    made: Plant
    requests: Recorded
    caches: bool  # prompts shared prefixes


def replay(live: Live, factory: Factory, progress: Callable[[str], None], stop: Stop) -> Replay:
    """Raises InputError for more than can be replayed, KeyboardInterrupt once ``stop`` says so."""
    progress("compiling worker models")
    made = plant(for_traffic(factory, live.requests.span_s, len(live.requests)))
    progress("replaying in the twin")
    requests, caches = requests_of(live.requests, made)
    demand = AgentDemand(requests, plain_columns(requests, 0))
    twin, events = played(made, requests, demand, stop, (0.0, 0.0))
    if stop() or events is None:
        raise KeyboardInterrupt
    progress("doing the books")
    money = account(physical_run(made, twin, requests, made.factory.run.horizon_s), made.factory).money
    usage = metered(made, twin, events, money).usage
    order = np.argsort(np.array(usage["id"].to_pylist(), np.int64))
    found = recorded(usage.take(order), live.requests.service)
    found = replace(found, arrival_s=live.requests.arrival_s, finished=found.finished & (found.output_tokens > 0))
    return Replay(made, found if live.inside else _outside(found, made), caches)


def for_traffic(factory: Factory, span_s: float, count: int) -> Factory:
    """The factory with a run as long as the traffic; its own workload is not played. Raises InputError."""
    if factory.run.cells > 1:
        raise InputError("a replay is one router domain: leave run.cells out of the factory file")
    if span_s > MOST_SPAN_S or count > MOST_REQUESTS:
        raise InputError(
            f"{count:,} requests in {span_s / 86_400:,.1f} days are too many for one replay: at most {MOST_REQUESTS:,} in "
            f"{MOST_SPAN_S / 86_400:.0f} days; cut it with --from and --to"
        )
    horizon_s = max(LONGER_S, span_s + max(LONGER_S, LONGER_SHARE * span_s))
    nobody = {"kind": "poisson", "rate": 1}
    loads = [{"service": service.name, "arrivals": nobody} for service in factory.services]
    return factory.replace_all({"run.horizon": f"{horizon_s:.6f} s", "run.warmup": "0 s", "workload": loads})


def requests_of(made: Recorded, where: Plant) -> tuple[Requests, bool]:
    """What the twin is asked, and whether prompts share prefixes in it."""
    services = where.factory.services
    patience = np.array([ticks(service.timeout_s) for service in services], np.int64)
    asked = at_ticks(in_ticks(made.arrival_s), made.input_tokens.astype(np.int32), made.output_tokens.astype(np.int32))
    asked = replace(
        asked, service=made.service.astype(np.int16), session=made.session, tenant=np.zeros(len(made), np.int32),
        timeout=patience[made.service],
    )  # fmt: skip
    caching = np.array([bool(service.prefix_cache) for service in services])
    read = np.where(caching[made.service], np.maximum(0, made.cached_tokens), 0)
    if not read.any():
        return asked, False
    start, hashes = prefixes(replace(made, cached_tokens=read))
    return replace(asked, block_start=start, block_hash=hashes, hash_block_tokens=BLOCK_TOKENS), True


def _outside(found: Recorded, made: Plant) -> Recorded:
    """As callers see it: with the way to the engine and back."""
    way_s = np.array(made.ingress_s)[found.service]
    return replace(found, ttft_s=found.ttft_s + way_s, e2e_s=found.e2e_s + way_s)
