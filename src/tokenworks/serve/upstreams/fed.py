"""What a gateway's pages say of a pool whose replicas a power budget limits."""

from __future__ import annotations

import math


class Fed:
    """What the metrics page says of one pool under the budget."""

    def __init__(self) -> None:
        self.budget_w = math.inf
        self.replica_w = 0.0
        self.wanted = self.granted = 0
        self.held = 0  # looks that found more wanted than the budget feeds

    def note(self, wanted: int, granted: int, budget_w: float, replica_w: float) -> None:
        self.wanted, self.granted, self.budget_w, self.replica_w = wanted, granted, budget_w, replica_w
        self.held += granted < wanted
