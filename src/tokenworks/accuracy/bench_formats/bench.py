"""One run of a benchmark client: what it says of the deployment, the load that it sent, what it measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError

LEAST_DONE = 0.95  # of the requests; a run that lost more of them measured something else
MILLI = 1e-3


@dataclass(frozen=True)
class Stated:
    """A fact of the deployment that a file states: its key there, and the value."""

    key: str
    value: str | int


@dataclass(frozen=True)
class Bench:
    """Seconds, tokens and requests; ``facts`` by the names of `facts.FLAGS`. A metric is None where it was not measured.

    ``clients`` None: no limit of outstanding requests; ``rate_s`` None: no request waits for a clock.
    """

    place: str  # file, or file and line
    kind: str  # the client
    facts: Mapping[str, Stated]
    date: str
    clients: int | None
    rate_s: float | None
    requests: int | None
    input_tokens: float
    output_tokens: float
    lowest_share: float | None  # lengths are uniform from this share of the stated ones up to them; None: all alike
    requests_s: float | None  # achieved
    output_tokens_s: float | None  # of the whole deployment; where None, ``output_tokens_s_gpu`` may be known
    output_tokens_s_gpu: float | None
    tpot_s_mean: float | None
    tpot_s_median: float | None
    ttft_s_mean: float | None
    ttft_s_median: float | None
    joules_per_output_token: float | None = None  # of ``boards`` GPUs
    boards: int | None = None


@dataclass(frozen=True)
class Unused:
    """A file, or a run in it, that says nothing for calibration, and why."""

    place: str
    reason: str


class Fields:
    """Keys of one JSON object; errors name the file and the key."""

    def __init__(self, place: str, table: Mapping[str, Any]):
        self.place, self._table = place, table

    def __contains__(self, key: str) -> bool:
        return self._table.get(key) is not None

    def raw(self, key: str) -> Any:
        return self._table.get(key)

    def number(self, key: str) -> float | None:
        """A number above zero; None where the key is missing, null or zero. Raises InputError."""
        value = self._table.get(key)
        if value is None:
            return None
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if isinstance(value, bool) or not math.isfinite(found) or found < 0:
            raise InputError(f"{self.place}: {key} is {value!r}, not a finite number of at least 0")
        return found or None

    def needed(self, key: str, why: str = "") -> float:
        found = self.number(key)
        if found is None:
            raise InputError(f"{self.place}: no {key} in it{f', {why}' if why else ''}")
        return found

    def whole(self, key: str) -> int | None:
        found = self.number(key)
        if found is None:
            return None
        if found != int(found):
            raise InputError(f"{self.place}: {key} is {self._table[key]!r}, not a whole number")
        return int(found)

    def seconds(self, key: str) -> float | None:
        """Of a key that ends in _ms."""
        found = self.number(key)
        return None if found is None else found * MILLI

    def text(self, key: str) -> str:
        value = self._table.get(key)
        return value.strip() if isinstance(value, str) else ""


def lost(done: int | None, sent: int | None) -> str:
    """Why a run with failed requests is not used; "" where enough of them were done."""
    if done is None or sent is None or done >= LEAST_DONE * sent:
        return ""
    return f"only {done:,} of {sent:,} requests were done: what failed is not in its figures"
