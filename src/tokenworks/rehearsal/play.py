"""One play of the twin over a plant, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tokenworks.economics.account import account
from tokenworks.events.requests import Requests
from tokenworks.events.results import RunResult
from tokenworks.rehearsal.bands import with_bands
from tokenworks.rehearsal.cells import simulate_in_cells
from tokenworks.rehearsal.demand import Source
from tokenworks.rehearsal.plant import BUCKETS, Plant, ticks
from tokenworks.rehearsal.results import run_result
from tokenworks.rehearsal.use import physical_run
from tokenworks.twin.cell import TwinOptions, TwinResult
from tokenworks.twin.simulate import simulate

Stop = Callable[[], bool]


class NothingDoneError(KeyboardInterrupt):
    """Asked to stop before anything was simulated."""


def play(
    made: Plant,
    requests: Requests | Iterator[Requests] | Source,
    stop: Stop = lambda: False,
    window_s: tuple[float, float] = (0.0, 0.0),
    metered: bool = False,
) -> TwinResult:
    """The twin over the factory's horizon, keeping the steps that end in the window, and of a ``metered`` play every request
    with its share of time and energy. Several cells need the requests whole, or what makes their stream."""
    run = made.factory.run
    options = TwinOptions(
        horizon_ticks=ticks(run.horizon_s),
        control_ticks=max(1, ticks(run.control_interval_s)),
        bucket_ticks=ticks(run.horizon_s / BUCKETS),
        buckets=BUCKETS,
        warmup_ticks=ticks(run.warmup_s),
        clients=clients(made),
        record=run.record_requests or metered,
        allocate=metered,
        trace_ticks=(ticks(window_s[0]), ticks(window_s[1])),
    )
    if run.cells > 1:
        assert not isinstance(requests, Iterator)
        return simulate_in_cells(made.cell, requests, options, run.cells)
    return simulate(made.cell, requests() if callable(requests) else requests, options, stop=stop)


def clients(made: Plant) -> int:
    """Callers of a closed loop; 0: the loop is open."""
    return sum(w.arrivals.clients or 0 for w in made.factory.workload if w.arrivals)


def outcome(made: Plant, twin: TwinResult, requests: Requests, sustainable: list[float], notes: list[str]) -> RunResult:
    """The result of a play, with its books and intervals."""
    physical = physical_run(made, twin, requests, made.factory.run.horizon_s)
    return with_bands(made, run_result(made, twin, physical, account(physical, made.factory), sustainable, notes))
