"""Settings that the wide pass does not see, around fleets that miss a limit in the twin: routing, KV tiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tokenworks.errors import TokenworksError
from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import Layout
from tokenworks.plan.market import Market
from tokenworks.plan.refine.variants import Variant, routings, tiers
from tokenworks.plan.trial import Trial

Stop = Callable[[], bool]


def rescued(market: Market, layouts: Sequence[Layout], name: str, stop: Stop) -> Trial | None:
    """A fleet that holds in the twin with other settings than these layouts have; None where no setting makes it hold."""
    for changed in _changed(market, layouts):
        try:
            trial = adjusted(market, changed, name, stop)
        except TokenworksError:
            continue
        if trial is not None and trial.holds:
            return trial
    return None


def _changed(market: Market, layouts: Sequence[Layout]) -> Iterator[tuple[Layout, ...]]:
    """One service's tiers or routing changed, or both."""
    for i, one in enumerate(layouts):
        asked = market.spaces[one.service].asked
        ways = list(routings(asked, one))
        with_tier = list(tiers(one, market.prices[one.kind].kind.entry)) if asked.cached else []
        both = [replace(tier, routing=way.routing) for tier in with_tier for way in ways]
        for variant in (*with_tier, *ways, *both):
            yield tuple(_as(one, variant) if j == i else other for j, other in enumerate(layouts))


def _as(one: Layout, variant: Variant) -> Layout:
    return replace(one, main=variant.main, prefill=variant.prefill, routing=variant.routing)
