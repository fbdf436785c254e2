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
from tokenworks.twin.departures import Sink, departed
from tokenworks.twin.simulate import simulate

Stop = Callable[[], bool]


class NothingDoneError(KeyboardInterrupt):
    """Asked to stop before anything was simulated."""


def play(
    made: Plant,
    requests: Requests | Iterator[Requests] | Source,
    stop: Stop = lambda: False,
    window_s: tuple[float, float] = (0.0, 0.0),
    sink: Sink | None = None,
) -> TwinResult:
    """The twin over the factory's horizon, keeping the steps that end in the window. ``sink`` gets every request with its share
    of time and energy as it leaves; of several cells, which go one after the other, at the end. Several cells need the
    requests whole, or what makes their stream."""
    run = made.factory.run
    options = TwinOptions(
        horizon_ticks=ticks(run.horizon_s),
        control_ticks=max(1, ticks(run.control_interval_s)),
        bucket_ticks=ticks(run.horizon_s / BUCKETS),
        buckets=BUCKETS,
        warmup_ticks=ticks(run.warmup_s),
        clients=clients(made),
        record=run.record_requests or (sink is not None and run.cells > 1),
        allocate=sink is not None,
        trace_ticks=(ticks(window_s[0]), ticks(window_s[1])),
    )
    if run.cells > 1:
        assert not isinstance(requests, Iterator)
        result = simulate_in_cells(made.cell, requests, options, run.cells)
        if sink is not None:
            for chunk in departed(result, options.chunk_rows):
                sink(chunk)
        return result
    return simulate(made.cell, requests() if callable(requests) else requests, options, stop=stop, sink=sink)


def clients(made: Plant) -> int:
    """Callers of a closed loop; 0: the loop is open."""
    return sum(w.arrivals.clients or 0 for w in made.factory.workload if w.arrivals)


def outcome(made: Plant, twin: TwinResult, requests: Requests, sustainable: list[float], notes: list[str]) -> RunResult:
    """The result of a play, with its books and intervals."""
    physical = physical_run(made, twin, requests, made.factory.run.horizon_s)
    return with_bands(made, run_result(made, twin, physical, account(physical, made.factory), sustainable, notes))
