"""Pipeline stages and the micro-batches between them.

A step is one cycle in which every sequence advances: its tokens are cut into micro-batches, each passes all stages, and
comes back to the first only when the last is done with it. With no more micro-batches than stages the cycle lasts
pp stage times, whatever their number m: fewer are larger, and each stage is idle for pp − m of them (GPipe's bubble,
arXiv 1811.06965, without its fill and drain: an engine's pipeline keeps running from step to step).

Unless a deployment says otherwise there is one micro-batch a stage, as under load. A server with one prompt or one small
batch at a time has fewer, and its time to first token is that of the whole model on one stage after the other.
"""

from __future__ import annotations

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.operators import Array, Cost


def in_flight(deployment: Deployment, tokens: Array) -> Array | float:
    """Micro-batches of a step; where their number is stated, never more than there are tokens."""
    if not deployment.micro_batches:
        return float(deployment.pp)
    return np.clip(tokens, 1.0, float(deployment.micro_batches))


def idle_factor(deployment: Deployment) -> float:
    """Cycle over the time that one stage works in it, for work that is proportional to tokens or keys."""
    return deployment.pp / (deployment.micro_batches or deployment.pp)


def cycle(cost: Cost, deployment: Deployment, batches: Array | float) -> Cost:
    """A cycle from the cost of one micro-batch on one stage: time for every stage, work for every micro-batch."""
    if deployment.pp == 1:
        return cost
    work = (cost.flop_s * batches, cost.byte_s * batches, cost.bound_by_compute, cost.busy_s * batches)
    return Cost(cost.seconds * deployment.pp, *work)


def cycles(costs: dict[str, Cost], deployment: Deployment, batches: Array | float) -> dict[str, Cost]:
    return {name: cycle(cost, deployment, batches) for name, cost in costs.items()}
