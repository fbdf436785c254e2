"""What one call leaves behind: an event for each attempt, and its part of the metrics."""

from __future__ import annotations

import time
from functools import partial

import msgspec

from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.limits.grant import Grant
from tokenworks.serve.metering import Attempt, Meter, Reading, Then, Unmetered, nobody, unchanged
from tokenworks.serve.telemetry.metrics import ServiceMetrics
from tokenworks.serve.uuids import uuid7


class Tally(msgspec.Struct, eq=False):
    """Of one call. ``arrived_s``: by `time.perf_counter`; ``grant`` None: nothing is limited."""

    attempt: Attempt  # the present one
    _meter: Meter | Unmetered
    _metrics: ServiceMetrics
    _arrived_s: float
    grant: Grant | None = None
    _active: bool = False
    _number: int = 1  # attempts so far
    written: bool = False  # the present attempt's event

    @property
    def request_id(self) -> str:
        """The id of the first attempt's event."""
        return self.attempt.request or self.attempt.id

    @property
    def reserves(self) -> bool:
        """Whether a budget holds what one attempt at a time may use."""
        return self.grant is not None and self.grant.reserves

    @property
    def tenant(self) -> str:
        return self.attempt.tenant

    def begin(self) -> None:
        self._active = True
        self._metrics.active += 1

    def first_byte(self) -> float:
        """Seconds since the request came."""
        self.attempt.ttft_us = self._since_us()
        ttft_s = self.attempt.ttft_us / 1e6
        self._metrics.ttft.observe(ttft_s)
        return ttft_s

    def _since_us(self) -> int:
        return round((time.perf_counter() - self._arrived_s) * 1e6)

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
            self.attempt, id=uuid7(), attempt=self._number, request=self.request_id, ttft_us=None, duration_us=None
        )

    def turn_to(self, attempt: Attempt) -> None:
        """From here on the call is this attempt."""
        self.attempt, self.written = attempt, False

    def spoiled(self, attempt: Attempt) -> None:
        """Of an attempt beside the present one nobody knows what it made."""
        attempt.failed, attempt.duration_us = True, self._since_us()
        self._meter.write(attempt, MISSING, nobody, unchanged)  # never under a budget: it would not be paid for

    def write(self, told: Told | Reading, then: Then = nobody, failed: bool = False) -> None:
        """Hands the event to the ledger; ``then`` hears whether it is durable."""
        attempt = self.attempt
        self.written, attempt.failed, attempt.duration_us = True, failed, self._since_us()
        reservation = self.grant.claim() if self.grant is not None else 0
        self._meter.write(attempt, told, then, partial(self._known, reservation))

    def _known(self, reservation: int, attempt: Attempt, told: Told, then: Then) -> Then:
        """What one attempt used."""
        made, tokens = told.buckets.outputs, self._metrics.tokens
        tokens["input"] += told.buckets.inputs
        tokens["output"] += made
        if attempt.ttft_us is not None and attempt.duration_us is not None and made > 1:
            self._metrics.tpot.observe((attempt.duration_us - attempt.ttft_us) / 1e6 / (made - 1))
        return then if self.grant is None else self.grant.known(reservation, attempt, told, then)

    def end(self, status: int) -> None:
        """The answer is over; only the first call counts."""
        if self._active:
            self._active = False
            self._metrics.active -= 1
            self._metrics.answered(status)
            self._metrics.duration.observe(time.perf_counter() - self._arrived_s)
            if self.grant:
                self.grant.end()
