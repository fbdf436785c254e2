"""The wide pass of a few replicas alone: what a changed setting would need of workers and batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.build import Layout, layout
from tokenworks.plan.candidates import Space
from tokenworks.plan.choose import search
from tokenworks.plan.machines import Machines
from tokenworks.plan.market import Market
from tokenworks.plan.refine.variants import Variant
from tokenworks.plan.robust import pessimistic
from tokenworks.plan.shapes import Shape, misfit, survey
from tokenworks.plan.survey import measured_here
from tokenworks.plan.systems import allowed
from tokenworks.plan.wide import Wide, wide

Predicted = dict[str, float]


def space_with(market: Market, one: Layout, variant: Variant) -> Space:
    """The service's space with the variant's replicas alone. Raises InputError where they cannot be."""
    old = market.spaces[one.service]
    shapes = measured_here(market.demand, _shapes(market, one, variant))
    space = replace(old, shapes=shapes, wide=wide(shapes, old.asked.ask), left_out={})
    return pessimistic(space, market.way, market.demand.headroom) if market.robust else space


def _shapes(market: Market, one: Layout, variant: Variant) -> tuple[Shape, ...]:
    asked, system = market.spaces[one.service].asked, market.prices[one.kind].kind.system
    roles: tuple[tuple[str, Deployment], ...] = (("serve", variant.main),)
    if variant.prefill is not None:
        roles = (("prefill", variant.prefill), ("decode", variant.main))
    if variant.draft is not None:
        d, may = one.main, allowed(market.demand, asked.service, (system,))
        like = replace(
            may,
            engines=(d.engine,),
            weights=(d.weights,),
            kv=(d.kv,),
            drafts=(variant.draft,),
            roles=tuple(r for r, _ in roles),
            clocks=tuple(dict.fromkeys((*may.clocks, *(d.clock for _, d in roles)))),
        )
        return survey(asked.service.model, asked.ask, like).shapes
    machines = Machines()
    for _, d in roles:
        if reason := misfit(d, asked.ask, machines):
            raise InputError(reason)
    return tuple(Shape(system, role, d) for role, d in roles)


def best_with(market: Market, one: Layout, space: Space, routing: str) -> tuple[Layout, Predicted] | None:
    """The best fleet for this service made of these replicas on the same terms; None where none keeps the limits."""
    i = one.service
    alone = replace(market, spaces=(space,), tails=(market.tails[i],), slower=(market.slower[i],)).laid()
    same = np.flatnonzero(alone.tables[0].kind == one.kind)
    alone = replace(alone, tables=(alone.tables[0].take(same),))
    found = search(alone)
    if not found.feasible:
        return None
    made = layout(alone, 0, int(found.picks.rows[0, 0]))
    return replace(made, service=i, routing=routing), {n: float(v[0]) for n, v in found.picks.columns.items()}


def joined(space: Space, more: Space) -> Space:
    """Both spaces' replicas."""
    moved = replace(more.wide, shape=more.wide.shape + len(space.shapes))
    columns = {n: np.concatenate([getattr(space.wide, n), getattr(moved, n)]) for n in Wide.__dataclass_fields__}
    return replace(space, shapes=space.shapes + more.shapes, wide=Wide(**columns))
