"""Whether the generator itself could keep up: what it is allowed, and when its figures are no figures of the server."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from tokenworks.errors import InputError
from tokenworks.serve.bench.demand import Demand
from tokenworks.serve.bench.measures import Figures

SPARE_FILES = 64  # that the process needs besides its connections


def enough_files(demand: Demand) -> None:
    """Lets the process open as many connections as it may. Raises InputError where a closed loop needs more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if demand.clients is not None and min(demand.clients, len(demand.requests)) > hard - SPARE_FILES:
        raise InputError(
            f"{demand.clients:,} clients need as many connections, and this process may open {hard:,} files (ulimit -n): "
            f"at most {hard - SPARE_FILES:,} clients"
        )


def refuse_late(found: Figures, most_late_s: float, cpu_share: float) -> None:
    """Raises InputError where the generator was behind its own schedule, or too busy to see answers when they came."""
    late_s, lag_s = found.lateness.p(99), found.lag.p(99) if found.lag.count else 0.0
    if max(late_s, lag_s) <= most_late_s:
        return
    raise InputError(
        f"the generator was the limit, so nothing is reported: 1% of its requests were sent more than {late_s * 1e3:,.1f} ms "
        f"late and its loop woke {lag_s * 1e3:,.1f} ms late, at {cpu_share:.0%} of a core (bound: {most_late_s * 1e3:g} ms). "
        "Lower the rate or the clients, run it on a machine of its own, or raise --most-late"
    )


@contextmanager
def no_long_collections() -> Iterator[None]:
    """What there is already, prompts above all, is not looked through again and again while answers come."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
