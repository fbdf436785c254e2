"""An event as attributes of OpenTelemetry's GenAI conventions. There is no prompt and no answer in an event.

Names: semantic conventions for generative AI, client spans and metrics (status: development). Input tokens include cached
ones, output tokens include reasoning. What the conventions have no name for begins with ``tokenworks.``.
"""

from __future__ import annotations

from tokenworks.events.ledger_events import INPUT, OUTPUT, UsageEvent

Attribute = str | int | float | bool
PROVIDER = "tokenworks"
OWN = ("tenant", "provider", "service", "root_run", "run", "parent_run", "purpose", "step", "energy_uj")


def common(event: UsageEvent) -> dict[str, Attribute]:
    """What spans and metrics have in common: few different values each."""
    return {
        "gen_ai.operation.name": event.operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": event.request_model,
        "gen_ai.response.model": event.model,
    }


def tokens(event: UsageEvent, names: tuple[str, ...]) -> int | None:
    """None where nobody knows any of them."""
    known = [count for name in names if (count := getattr(event, name)) is not None]
    return sum(known) if known else None


def error_type(event: UsageEvent) -> str:
    """ "": it ended well. ``upstream_failed``: nobody got its output; ``incomplete``: the caller left or the engine broke off."""
    if event.failed:
        return "upstream_failed"
    return "" if event.usage_status == "final" else "incomplete"


def of_span(event: UsageEvent) -> dict[str, Attribute]:
    """All attributes of an attempt's span; what is not known is left out."""
    found: dict[str, Attribute | None] = {
        **common(event),
        "gen_ai.conversation.id": event.conversation or None,
        "gen_ai.agent.name": event.agent or None,
        "gen_ai.usage.input_tokens": tokens(event, INPUT),
        "gen_ai.usage.output_tokens": tokens(event, OUTPUT),
        "gen_ai.usage.cache_read.input_tokens": event.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": event.cache_write if event.cache_read is not None else None,
        "gen_ai.usage.reasoning.output_tokens": event.output_reasoning,
        "gen_ai.response.time_to_first_chunk": None if event.ttft_us is None else event.ttft_us / 1e6,
        "error.type": error_type(event) or None,
        "tokenworks.usage_source": event.usage_source,
        "tokenworks.usage_status": event.usage_status,
        "tokenworks.event": event.id,
        "tokenworks.attempt": event.attempt,
        "tokenworks.failed": event.failed,
        **{f"tokenworks.{name}": getattr(event, name) or None for name in OWN},
    }
    return {name: value for name, value in found.items() if value is not None}
