"""A window of a run as a trace that Perfetto and Chrome's tracing page open: one track per worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """Something that a worker did from one moment to another."""

    worker: str
    name: str
    start_s: float
    end_s: float
    args: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Life:
    """One phase of a request: phases of different requests may overlap, so each request has its own line."""

    service: str
    request: int
    phase: str
    start_s: float
    end_s: float


def trace(spans: Iterable[Span], lives: Iterable[Life] = ()) -> str:
    """Trace Event Format: steps as complete events in microseconds, workers as named threads of one process; phases of
    requests as nestable asynchronous events, by service."""
    kept = sorted(spans, key=lambda s: (s.start_s, s.worker))
    tracks = {name: i for i, name in enumerate(sorted({s.worker for s in kept}), 1)}
    names: list[dict[str, object]] = [
        {"ph": "M", "pid": 1, "tid": track, "name": "thread_name", "args": {"name": worker}}
        for worker, track in tracks.items()
    ]
    events = [
        {
            "ph": "X",
            "pid": 1,
            "tid": tracks[s.worker],
            "name": s.name,
            "ts": s.start_s * 1e6,
            "dur": (s.end_s - s.start_s) * 1e6,
            "args": dict(s.args),
        }
        for s in kept
    ]
    asynchronous = [
        {"ph": mark, "pid": 2, "tid": 0, "cat": x.service, "id": x.request, "name": x.phase, "ts": at_s * 1e6}
        for x in lives
        for mark, at_s in (("b", x.start_s), ("e", x.end_s))
    ]
    if asynchronous:
        names.append({"ph": "M", "pid": 2, "tid": 0, "name": "process_name", "args": {"name": "requests"}})
    names.append({"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": "workers"}})
    return json.dumps({"traceEvents": names + events + asynchronous, "displayTimeUnit": "ms"}, allow_nan=False)
