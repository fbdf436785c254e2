"""What one call leaves behind: an event for each attempt, and its part of the metrics."""

from __future__ import annotations

import time

from tokenworks.serve.body.usage import Told
from tokenworks.serve.metering import Attempt, Meter, Then, Unmetered, nobody, uuid7
from tokenworks.serve.metrics import ServiceMetrics


class Tally:
    """Of one call. ``arrived_s``: by `time.perf_counter`."""

    __slots__ = ("_active", "_arrived_s", "_attempt", "_meter", "_metrics", "written")

    def __init__(self, attempt: Attempt, meter: Meter | Unmetered, metrics: ServiceMetrics, arrived_s: float):
        self._attempt, self._meter, self._metrics, self._arrived_s = attempt, meter, metrics, arrived_s
        self._active = False
        self.written = False  # the present attempt's event

    @property
    def request_id(self) -> str:
        """The id of the first attempt's event."""
        return self._attempt.request or self._attempt.id

    @property
    def attempt_id(self) -> str:
        return self._attempt.id

    @property
    def attempts(self) -> int:
        return self._attempt.attempt

    def begin(self) -> None:
        self._active = True
        self._metrics.active += 1

    def first_byte(self) -> None:
        self._attempt.ttft_us = self._since_us()
        self._metrics.ttft.observe(self._attempt.ttft_us / 1e6)

    def _since_us(self) -> int:
        return round((time.perf_counter() - self._arrived_s) * 1e6)

    def next_attempt(self) -> None:
        attempt = self._attempt
        self._metrics.retries += 1
        attempt.request = attempt.request or attempt.id
        attempt.id, attempt.attempt = uuid7(), attempt.attempt + 1
        self.written = False

    def write(self, told: Told, then: Then = nobody, failed: bool = False) -> None:
        """Hands the event to the ledger; ``then`` hears whether it is durable."""
        self.written = True
        self._attempt.failed = failed
        self._attempt.duration_us = self._since_us()
        self._count(told)
        self._meter.write(self._attempt, told, then)

    def _count(self, told: Told) -> None:
        buckets, attempt = told.buckets, self._attempt
        made = (buckets.output_visible or 0) + (buckets.output_reasoning or 0) + (buckets.output_tool or 0)
        tokens = self._metrics.tokens
        tokens["input"] += (buckets.input_fresh or 0) + (buckets.cache_read or 0) + (buckets.cache_write or 0)
        tokens["output"] += made
        if attempt.ttft_us is not None and attempt.duration_us is not None and made > 1:
            self._metrics.tpot.observe((attempt.duration_us - attempt.ttft_us) / 1e6 / (made - 1))

    def end(self, status: int) -> None:
        """The answer is over; only the first call counts."""
        if self._active:
            self._active = False
            self._metrics.active -= 1
            self._metrics.answered(status)
            self._metrics.duration.observe(time.perf_counter() - self._arrived_s)
