"""Twin and live side by side, and where they drift apart."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.accuracy.certainty import Evidence
from tokenworks.errors import InputError
from tokenworks.rehearsal.bands import evidence_of
from tokenworks.rehearsal.live.lines import Bounds, Line, costs, latencies, queues, rates, within
from tokenworks.rehearsal.live.recorded import Live, Recorded
from tokenworks.rehearsal.live.replay import Replay


@dataclass(frozen=True)
class Side:
    """One service on both sides."""

    service: str
    requests: int  # that arrived after the warm-up
    finished: tuple[int, int]  # of these: live, in the twin, within the window
    lines: tuple[Line, ...]
    note: str  # how sure the model is of this service
    live: Recorded
    twin: Recorded


@dataclass(frozen=True)
class Comparison:
    """The whole."""

    factory: str
    live: Live
    span_s: float
    warmup_s: float
    sides: tuple[Side, ...]
    caches: bool

    def lines(self, state: str) -> list[tuple[str, Line]]:
        return [(side.service, line) for side in self.sides for line in side.lines if line.state == state]


def compare(live: Live, twin: Replay, warmup_s: float, bounds: Bounds) -> Comparison:
    """Service by service; requests that arrive within the warm-up are replayed and not compared. Raises InputError where
    nothing arrives after it."""
    factory, span_s = twin.made.factory, live.requests.span_s
    window = (warmup_s, max(span_s, 1e-6))
    if not (live.requests.arrival_s >= warmup_s).any():
        raise InputError(f"no request arrives after the warm-up of {warmup_s:g} s; the traffic lasts {span_s:,.1f} s")
    sides = []
    for number, service in enumerate(factory.services):
        chosen = live.requests.service == number
        if chosen.any():
            known = evidence_of(factory, [twin.made.replicas[number]])
            mine, its = live.requests.rows(chosen), twin.requests.rows(chosen)
            sides.append(_side(service.name, mine, its, window, bounds, known))
    return Comparison(factory.name, live, span_s, warmup_s, tuple(sides), twin.caches)


def _side(
    name: str, live: Recorded, twin: Recorded, window: tuple[float, float], bounds: Bounds, known: Evidence
) -> Side:
    late = live.arrival_s >= window[0]
    done = tuple(int((late & within(side, window)).sum()) for side in (live, twin))
    lines = (*rates(live, twin, window, bounds), *latencies(live, twin, window, bounds, known),
             *queues(live, twin, window, bounds, known), *costs(live, twin, window, bounds, known))  # fmt: skip
    return Side(name, int(late.sum()), (done[0], done[1]), lines, known.sentence(), live, twin)
