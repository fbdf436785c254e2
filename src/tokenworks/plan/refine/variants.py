"""What is tried around a fleet, one setting at a time.

Clock levels are not among them: the wide pass chooses them (`plan.slower`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tokenworks import catalog
from tokenworks.physics.deployment import Deployment, TierSettings
from tokenworks.plan.allowed import Draft
from tokenworks.plan.build import Layout, routing_of
from tokenworks.plan.drafts import drafts_of
from tokenworks.plan.sample import Asked
from tokenworks.spec.checks import COHERENT

TIER_SHARE = 0.5  # of the hosts' memory for evicted blocks; the rest is for weights on their way, engine and system


@dataclass(frozen=True)
class Variant:
    """A layout's deployments and routing with one setting changed."""

    text: str  # "token budget 8192 → 4096"
    main: Deployment
    prefill: Deployment | None
    routing: str
    draft: Draft | None = None  # speculation: all degrees are looked at anew, and the deployments are not those above


def knobs(asked: Asked, one: Layout, system: catalog.Entry) -> Iterator[tuple[Variant, ...]]:
    """Values of one setting after the other."""
    yield tuple(_drafts(asked, one))
    yield tuple(_budgets(one))
    if asked.cached:
        yield tuple(tiers(one, system))
    yield tuple(routings(asked, one))


def _changed(one: Layout, text: str, change: Callable[[Deployment], Deployment], routing: str = "") -> Variant:
    before = None if one.prefill is None else change(one.prefill)
    return Variant(text, change(one.main), before, routing or one.routing)


def _drafts(asked: Asked, one: Layout) -> Iterator[Variant]:
    if one.main.draft_tokens:
        return
    for draft in drafts_of(one.main.model, asked.output_tokens):
        plural = "s" if draft.tokens > 1 else ""
        said = (
            f"speculative decoding with {draft.tokens} draft token{plural} ({draft.tokens_per_step:.3g} tokens a step)"
        )
        yield Variant(said, one.main, one.prefill, one.routing, draft)


def _budgets(one: Layout) -> Iterator[Variant]:
    """Tokens of a step, of the workers that compute prompts."""
    first = one.prefill or one.main
    for budget in (first.token_budget // 2, first.token_budget * 2):
        said = f"token budget {first.token_budget:,} → {budget:,}"
        if one.prefill is None:
            yield Variant(said, replace(one.main, token_budget=budget), None, one.routing)
        else:
            yield Variant(said, one.main, replace(one.prefill, token_budget=budget), one.routing)


def tiers(one: Layout, system: catalog.Entry) -> Iterator[Variant]:
    """Evicted blocks go to half of the memory of the replica's hosts."""
    if one.main.tiers or not system.get("host_memory_gb"):
        return
    chip = catalog.load("accelerators", system["accelerator"])
    worker_gpus = min(d.gpus for d in one.deployments)
    size_gb = float(round(TIER_SHARE * float(system["host_memory_gb"]) / int(system["gpus"]) * worker_gpus))
    name = "grace" if system["cpu_kind"] in COHERENT else "host"

    def with_tier(d: Deployment) -> Deployment:
        return replace(d, tiers=(TierSettings(name, size_gb, float(chip["host_link_gb_s"])),))

    yield _changed(one, f"KV tier of {size_gb:,.0f} GB in {name} memory a worker", with_tier)


def routings(asked: Asked, one: Layout) -> Iterator[Variant]:
    now = routing_of(asked, one)
    for routing in ("least-loaded", "kv-aware", "session") if asked.cached else ("round-robin", "power-of-two"):
        if routing != now:
            yield _changed(one, f"routing {now} → {routing}", lambda d: d, routing)
