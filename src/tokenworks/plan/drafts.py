"""Speculative decoding that a plan may use: how many tokens are drafted a step, and how many of them are accepted."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.accuracy.recipes import accepted
from tokenworks.plan.allowed import Draft

DRAFTS = (1, 3)  # tokens proposed in a step


def drafts_of(model: str, output_tokens: float) -> tuple[Draft, ...]:
    """Multi-token prediction, where the model has layers for it. How many drafts are accepted was measured for some models;
    of the others only one draft token is tried, at what the authors of the method report."""
    if not catalog.load("models", model).get("mtp_layers"):
        return ()
    shares = acceptance(model, output_tokens)
    return tuple(Draft(n, accepted(shares, n)) for n in (DRAFTS if len(shares) > 1 else DRAFTS[:1]))


def acceptance(model: str, output_tokens: float) -> list[float]:
    """Accepted shares of looked-at draft tokens by position, the last one for all later ones."""
    entry = catalog.load("speculation", "mtp")
    for known in entry.extra.get("acceptance", ()):
        if model in known["models"] and output_tokens >= known["min_output_tokens"]:
            return [float(share) for share in known["by_position"]]
    return [float(entry["tokens_per_step"]) ** (1.0 / int(entry["draft_tokens"])) - 1.0]
