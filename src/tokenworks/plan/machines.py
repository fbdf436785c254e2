"""Machines of many deployments: what they share is resolved once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import Terms, resolve

Key = tuple[object, ...]
LIMITS = ("max_seqs", "token_budget")


@dataclass
class Machines:
    """Makes machines. Terms depend on the attributes by which effects are pooled, of which degrees leave most alone;
    steps depend on neither limits nor memory."""

    _terms: dict[Key, Terms] = field(default_factory=dict)
    _machines: dict[Key, Machine] = field(default_factory=dict)

    def of(self, deployment: Deployment) -> Machine:
        """The machine of a deployment, its limits (batch, token budget) set to one: operators do not look at them."""
        key = tuple(value for name, value in vars(deployment).items() if name not in LIMITS)
        if key not in self._machines:
            bare = replace(deployment, max_seqs=1, token_budget=1)
            self._machines[key] = Machine.of(bare, terms=self.terms(bare))
        return self._machines[key]

    def terms(self, deployment: Deployment) -> Terms:
        """As ``resolve(deployment)``."""
        d = deployment
        key = (d.accelerator, d.model, d.engine, d.engine_version, d.date, d.weights, d.site, d.dp > 1, _wide(d))
        if key not in self._terms:
            self._terms[key] = resolve(d)
        return self._terms[key]


def _wide(deployment: Deployment) -> bool:
    return deployment.gpus > deployment.gpus_per_node
