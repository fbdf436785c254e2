"""What the ledger records: usage of models, other costs, outcomes, and corrections. Schema only.

One usage event is one *attempt* at one model call, never the total of an agent: totals are sums over leaves. Token
buckets are disjoint; None says that nobody knows, which is not 0. Times are microseconds since 1970 UTC, money is
micro-units of a currency, energy is microjoules, quantities of other costs are micro-units, all as integers.
Names follow OpenTelemetry's GenAI conventions where it has one; the envelope follows CloudEvents 1.0 (``subject`` is
the tenant).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

MICRO = 1_000_000
INPUT = ("input_fresh", "cache_read", "cache_write")
OUTPUT = ("output_visible", "output_reasoning", "output_tool")
BUCKETS = INPUT + OUTPUT

UsageSource: TypeAlias = Literal["engine", "provider", "estimate"]
UsageStatus: TypeAlias = Literal["final", "partial", "missing"]
Outcome: TypeAlias = Literal["claimed", "verified", "reversed"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all events have. ``(source, id)`` names an event for ever."""

    source: str
    id: str
    time_us: int  # when it was over and its usage known, by the clock of its source (decision 0017)
    tenant: str
    root_run: str = ""  # the task that somebody asked for; "" = a call outside any run
    run: str = ""  # the agent or sub-agent that called; equal to root_run at the top
    parent_run: str = ""
    agent: str = ""
    step: int = 0  # number of the call or tool use inside its run
    tags: dict[str, str] = {}  # cost centre, workflow, project, user …


class UsageEvent(Event, frozen=True, kw_only=True, omit_defaults=True, tag="usage"):
    """One attempt at one model call."""

    service: str = ""
    provider: str = ""
    request_model: str = ""
    model: str  # that answered
    operation: str = "chat"
    purpose: str = ""  # plan, reason, tool, verify, retry, final …: what the run wanted of the call
    conversation: str = ""
    attempt: int = 1
    input_fresh: int | None
    cache_read: int | None
    cache_write: int | None = 0
    output_visible: int | None
    output_reasoning: int | None = 0
    output_tool: int | None = 0
    usage_source: UsageSource = "engine"
    usage_status: UsageStatus = "final"
    final: bool = False  # its visible output is what the run's user saw
    failed: bool = False  # nobody got its output: its cost is lost work
    ttft_us: int | None = None
    duration_us: int | None = None
    energy_uj: int | None = None  # allocated, board scope
    cost_micro_usd: int | None = None  # allocated, the factory's own cost
    raw: str = ""  # the provider's usage record as it came


class CostEvent(Event, frozen=True, kw_only=True, omit_defaults=True, tag="cost"):
    """What a run used besides tokens: a tool call, sandbox seconds, a search, storage, a third party's invoice."""

    meter: str  # tool_call, sandbox_second, search, storage_gb_hour, invoice …
    quantity_micro: int
    unit: str
    amount_micro: int | None  # what it cost the factory; None: not known
    currency: str = "USD"
    raw: str = ""


class OutcomeEvent(Event, frozen=True, kw_only=True, omit_defaults=True, tag="outcome"):
    """A result of a run that somebody may pay for."""

    outcome: str  # its type: ticket_resolved, pull_request_merged …
    status: Outcome
    claim: str = ""  # id of the claim that this verifies or reverses
    verifier: str = ""
    evidence_sha256: str = ""
    value_micro: int | None = None
    currency: str = "USD"
    clawback_until_us: int | None = None


class Reversal(Event, frozen=True, kw_only=True, omit_defaults=True, tag="reversal"):
    """Takes back an event of the same ledger; a replacement is an event of its own that follows it."""

    of_source: str
    of_id: str
    reason: str


AnyEvent: TypeAlias = UsageEvent | CostEvent | OutcomeEvent | Reversal

# The same facts as columns: what segments, TAF, rating and reports read. Arrow type names; all but ids, times and sign may
# be null. ``sign`` is −1 on the row that a reversal adds (a copy of what it takes back, with the reversal's time),
# else 1: sums of sign × tokens are the truth.
USAGE_COLUMNS = {
    "seq": "int64",  # position in the ledger
    "source": "string",
    "id": "string",
    "time_us": "int64",
    "sign": "int8",
    "tenant": "string",
    "root_run": "string",
    "run": "string",
    "parent_run": "string",
    "agent": "string",
    "step": "int32",
    "service": "string",
    "provider": "string",
    "model": "string",
    "operation": "string",
    "purpose": "string",
    "attempt": "int32",
    **dict.fromkeys(BUCKETS, "int64"),
    "usage_source": "string",
    "usage_status": "string",
    "final": "bool",
    "failed": "bool",
    "ttft_us": "int64",
    "duration_us": "int64",
    "energy_uj": "int64",
    "cost_micro_usd": "int64",
    "tags": "string",  # JSON object, keys sorted; "" = none
}
COST_COLUMNS = {
    **{name: USAGE_COLUMNS[name] for name in list(USAGE_COLUMNS)[:11]},
    "meter": "string",
    "quantity_micro": "int64",
    "unit": "string",
    "amount_micro": "int64",
    "currency": "string",
    "tags": "string",
}
OUTCOME_COLUMNS = {
    **{name: USAGE_COLUMNS[name] for name in list(USAGE_COLUMNS)[:11]},
    "outcome": "string",
    "status": "string",
    "claim": "string",
    "verifier": "string",
    "evidence_sha256": "string",
    "value_micro": "int64",
    "currency": "string",
    "clawback_until_us": "int64",
    "tags": "string",
}
