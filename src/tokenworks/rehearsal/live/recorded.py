"""What happened to each request, live or in the twin: columns that both fill."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recorded:
    """Requests by arrival, in seconds from the first; NaN and −1 where something is not known or did not happen."""

    arrival_s: Floats
    ttft_s: Floats
    e2e_s: Floats
    input_tokens: Ints
    cached_tokens: Ints  # of the input; −1: not known
    output_tokens: Ints
    service: Ints  # index into the factory's services
    session: Ints  # −1: none
    usd: Floats  # allocated
    joules: Floats  # allocated, board scope
    finished: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def tpot_s(self) -> Floats:
        """(end − first token) / (tokens − 1)."""
        gaps = self.output_tokens - 1
        return np.where(gaps > 0, (self.e2e_s - self.ttft_s) / np.maximum(1, gaps), np.nan)

    @property
    def end_s(self) -> Floats:
        return self.arrival_s + self.e2e_s

    @property
    def span_s(self) -> float:
        """To the last end that is known."""
        ends = np.where(np.isnan(self.e2e_s), self.arrival_s, self.end_s)
        return float(ends.max(initial=0.0))

    def rows(self, chosen: NDArray[np.bool_] | Ints) -> Recorded:
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True)
class Live:
    """Traffic as it was, and what of it cannot be replayed."""

    requests: Recorded
    place: str  # where it was read
    begin_us: int  # of the first arrival, since 1970 UTC; 0: not known
    left_out: tuple[tuple[str, int], ...]  # (why, how many)
    inside: bool  # latencies are those at the engine, without the way to it
    timed: bool  # latencies are known at all


def by_arrival(made: Recorded) -> tuple[Recorded, float]:
    """Sorted, those of one moment by their first tokens; from the first arrival; and when that was."""
    ordered = made.rows(np.lexsort((made.ttft_s, made.arrival_s)))
    first = float(ordered.arrival_s[0])
    return replace(ordered, arrival_s=ordered.arrival_s - first), first
