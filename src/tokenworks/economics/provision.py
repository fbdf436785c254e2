"""Provisioned against drawn power: what nameplates ask for, what a percentile of the real draw needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provision:
    """Watts in the scope of the power budget."""

    nameplate_w: float  # all systems at their maximum
    drawn_w: float  # the percentile of the drawn power that is planned for
    peak_w: float
    budget_w: float  # 0: none
    percentile: float

    @property
    def oversubscription(self) -> float:
        """Nameplates that one watt of planned power carries.

        >>> Provision(150.0, 100.0, 110.0, 120.0, 99.0).oversubscription
        1.5
        """
        return self.nameplate_w / self.drawn_w if self.drawn_w else 0.0

    @property
    def fit_by_nameplate(self) -> float:
        """Factories of this kind under the budget when each is given its nameplate; 0 without a budget.

        >>> Provision(150.0, 100.0, 110.0, 300.0, 99.0).fit_by_nameplate
        2.0
        """
        return self.budget_w / self.nameplate_w

    @property
    def fit_by_percentile(self) -> float:
        """Factories of this kind under the budget when each is given what it draws at the percentile.

        >>> Provision(150.0, 100.0, 110.0, 300.0, 99.0).fit_by_percentile
        3.0
        """
        return self.budget_w / self.drawn_w if self.drawn_w else 0.0
