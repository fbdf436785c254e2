"""What one call leaves behind: an event for each attempt, and its part of the metrics."""

from __future__ import annotations

import time

import msgspec

from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.limits.grant import Grant
from tokenworks.serve.metering import Attempt, Meter, Then, Unmetered, nobody, uuid7
from tokenworks.serve.metrics import ServiceMetrics


class Tally:
    """Of one call. ``arrived_s``: by `time.perf_counter`."""

    __slots__ = ("_active", "_arrived_s", "_attempt", "_meter", "_metrics", "_number", "grant", "written")

    def __init__(
        self, attempt: Attempt, meter: Meter | Unmetered, metrics: ServiceMetrics, arrived_s: float,
        grant: Grant | None = None,
    ):  # fmt: skip
        self._attempt, self._meter, self._metrics, self._arrived_s = attempt, meter, metrics, arrived_s
        self.grant = grant  # None: nothing is limited
        self._active = False
        self._number = 1  # attempts so far
        self.written = False  # the present attempt's event

    @property
    def request_id(self) -> str:
        """The id of the first attempt's event."""
        return self._attempt.request or self._attempt.id

    @property
    def reserves(self) -> bool:
        """Whether a budget holds what one attempt at a time may use."""
        return self.grant is not None and self.grant.reserves

    @property
    def attempt_id(self) -> str:
        return self._attempt.id

    @property
    def tenant(self) -> str:
        return self._attempt.tenant

    def begin(self) -> None:
        self._active = True
        self._metrics.active += 1

    def first_byte(self) -> float:
        """Seconds since the request came."""
        self._attempt.ttft_us = self._since_us()
        ttft_s = self._attempt.ttft_us / 1e6
        self._metrics.ttft.observe(ttft_s)
        return ttft_s

    def _since_us(self) -> int:
        return round((time.perf_counter() - self._arrived_s) * 1e6)

    def serves(self, service: str, model: str) -> None:
        """Who works on the present attempt: a service that stands in for the one that was asked, perhaps."""
        self._attempt.service, self._attempt.model = service, model

    def next_attempt(self) -> Attempt | None:
        """What `again` makes the present attempt; None where the budget does not hold another one."""
        attempt = self.beside()
        return None if self.grant and not self.grant.again(attempt) else attempt

    def again(self, attempt: Attempt) -> None:
        self._metrics.retries += 1
        self.turn_to(attempt)

    def beside(self) -> Attempt:
        """Another attempt of this call, beside the present one."""
        self._number += 1
        return msgspec.structs.replace(
            self._attempt, id=uuid7(), attempt=self._number, request=self.request_id, ttft_us=None, duration_us=None
        )

    def turn_to(self, attempt: Attempt) -> None:
        """From here on the call is this attempt."""
        self._attempt, self.written = attempt, False

    def spoiled(self, attempt: Attempt) -> None:
        """Of an attempt beside the present one nobody knows what it made."""
        attempt.failed, attempt.duration_us = True, self._since_us()
        self._meter.write(attempt, MISSING, nobody)  # never under a budget: it would not be paid for

    def write(self, told: Told, then: Then = nobody, failed: bool = False) -> None:
        """Hands the event to the ledger; ``then`` hears whether it is durable."""
        self.written = True
        self._attempt.failed = failed
        self._attempt.duration_us = self._since_us()
        self._count(told)
        if self.grant:
            then = self.grant.known(self._attempt, told, then)
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
            if self.grant:
                self.grant.end()
