"""Rates: requests and tokens per minute, and calls at a time, of whom a rule is about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tokenworks.serve.access.keys import Key
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits.buckets import Bucket
from tokenworks.spec.limits import Rate, Whose

BUSY_RETRY_S = 1.0


def concerns(whose: Whose, key: Key, service: str) -> bool:
    return (
        whose.tenant in (None, key.tenant) and whose.key in (None, key.id) and whose.service in (None, service)
    )  # fmt: skip


class Gate:
    """One rule for one tenant, key or service."""

    __slots__ = ("calls", "limit", "requests", "said", "tokens")

    def __init__(self, said: str, rpm: int | None, tpm: int | None, concurrency: int | None):
        now_us = _now_us()
        self.said = said
        self.requests = Bucket(rpm, now_us) if rpm else None
        self.tokens = Bucket(tpm, now_us) if tpm else None
        self.limit, self.calls = concurrency, 0

    def refusal(self, tokens: int, now_us: int) -> Refused | None:
        """Why a call cannot pass now."""
        if self.limit is not None and self.calls >= self.limit:
            return _refused(f"{self.said}: {self.limit} calls at a time", BUSY_RETRY_S)
        for bucket, units, of in ((self.requests, 1, "requests"), (self.tokens, tokens, "tokens")):
            wait_us = bucket.wait_us(min(units, bucket.limit), now_us) if bucket else 0
            if bucket and wait_us:
                return _refused(f"{self.said}: {bucket.limit:,} {of} per minute", wait_us / 1e6)
        return None


def _refused(said: str, retry_s: float) -> Refused:
    return Refused(429, "rate_limit_exceeded", f"limit of {said}", retry_after_s=retry_s)


@dataclass(slots=True)
class Ticket:
    """A call that passed: ``tokens`` were taken of each gate that counts them, until the truth is known."""

    gates: Sequence[Gate]
    tokens: int
    awaited: bool = False  # an attempt is over, and what it used will be known
    over: bool = False

    def known(self, tokens: int | None) -> None:
        """The truth in place of the bound, which stays where nobody knows."""
        taken, self.tokens = self.tokens, 0
        for gate in self.gates:
            if gate.tokens and tokens is not None:
                gate.tokens.take(tokens - min(taken, gate.tokens.limit))

    def end(self) -> None:
        """The call is over. What is still taken was never used, unless that is to be known yet. Only the first call counts."""
        if self.over:
            return
        self.over = True
        if not self.awaited:
            self.known(0)
        for gate in self.gates:
            gate.calls -= 1

    def lines(self) -> bytes:
        """The customary headers, of the gate that is nearest to its end."""
        now_us = _now_us()
        return _lines("requests", [g.requests for g in self.gates if g.requests], now_us) + _lines(
            "tokens", [g.tokens for g in self.gates if g.tokens], now_us
        )


def _lines(what: str, buckets: list[Bucket], now_us: int) -> bytes:
    if not buckets:
        return b""
    least = min(buckets, key=lambda b: b.level(now_us) / b.limit) if len(buckets) > 1 else buckets[0]
    return (
        f"x-ratelimit-limit-{what}: {least.limit}\r\nx-ratelimit-remaining-{what}: {max(0, least.level(now_us))}\r\n"
        f"x-ratelimit-reset-{what}: {-(-least.full_us(now_us) // 1000)}ms\r\n"
    ).encode()


class Throttle:
    """All gates."""

    def __init__(self, rules: Sequence[Rate]):
        self._rules = rules
        self._gates: dict[tuple[object, ...], Gate] = {}

    def gates(self, key: Key, service: str) -> tuple[Gate, ...]:
        """That calls of a key to a service pass."""
        names = {"tenant": key.tenant, "key": key.id, "service": service}
        found = [
            self._gate((i, names.get(rule.per or "")), _said(rule), rule.rpm, rule.tpm, rule.concurrency)
            for i, rule in enumerate(self._rules)
            if concerns(rule, key, service)
        ]
        own = (key.rpm, key.tpm, key.concurrency)
        if any(own):
            found.append(self._gate((key.id, *own), "this key", *(n or None for n in own)))
        return tuple(found)

    def _gate(self, name: tuple[object, ...], said: str, *limits: int | None) -> Gate:
        if name not in self._gates:
            self._gates[name] = Gate(said, *limits)
        return self._gates[name]


def take(gates: Sequence[Gate], tokens: int) -> Ticket:
    """Passes all gates or none. Raises Refused: 429, with the time after which it is worth another try."""
    now_us = _now_us()
    ticket = Ticket(gates, tokens)
    for gate in gates:
        refused = gate.refusal(tokens, now_us)
        if refused:
            refused.lines = ticket.lines()
            raise refused
    for gate in gates:
        gate.calls += 1
        if gate.requests:
            gate.requests.take(1)
        if gate.tokens:
            gate.tokens.take(min(tokens, gate.tokens.limit))
    return ticket


def _said(rule: Rate) -> str:
    return f"this {rule.per}" if rule.per else f"{rule.tenant or rule.service or 'the gateway'}"


def _now_us() -> int:
    return time.monotonic_ns() // 1000
