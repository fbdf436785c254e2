"""An agent that is fitted to a recording, as the catalogue holds it: tables of quantiles, see `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from tokenworks.catalog import loader
from tokenworks.errors import CatalogError
from tokenworks.workload.agents.recording import Floats
from tokenworks.workload.agents.template import KIND


class Quantiles:
    """A distribution by its quantiles, straight between them on a logarithmic scale that goes through 0."""

    def __init__(self, shares: Floats, values: Floats):
        self.shares, self.logs = shares, np.sign(values) * np.log1p(np.abs(values))

    def at(self, share: Floats) -> Floats:
        log = np.interp(share, self.shares, self.logs)
        return np.asarray(np.sign(log) * np.expm1(np.abs(log)))


@dataclass(frozen=True)
class Agent:
    """Tables of a lead or of its sub-agents."""

    calls: Quantiles
    first_input: Quantiles
    growth: Quantiles
    output: Quantiles


class Fitted:
    """A fitted agent, ready to be drawn from."""

    def __init__(self, table: dict[str, Any]):
        self.shares = np.array(table["shares"], np.float64)
        self.lead, self.sub = self._agent(table["main"]), self._agent(table["sub_agents"])
        pauses, reuse, compaction = table["pauses"], table["reuse"], table["compaction"]
        self.after_tool, self.after_answer = self._of(pauses["after_tool_s"]), self._of(pauses["after_answer_s"])
        self.answers = float(pauses["answers"][0])
        self.lost, self.lost_compacted = self._of(reuse["lost"]), self._of(reuse["lost_when_compacted"])
        self.partly = float(reuse["partly"][0])
        self.classes, self.limit = np.array(compaction["from"]), float(compaction["limit"][0])
        self.chances = np.array([compaction["chance"], compaction["chance_beyond"]])
        self.beyond = np.array(compaction["beyond"])
        self.left = self._of(compaction["left"])
        self.subs = np.cumsum(table["subs_by_session"])
        self.root = np.linalg.cholesky(np.array(table["correlation"]))
        self.weights = float(table["session_weight_growth"]), float(table["session_weight_output"])
        second = table["second"]
        self.below, self.second = float(second["below"][0]), (self._of(second["short"]), self._of(second["long"]))
        self.together = float(table["growth_by_output"])
        self.early_from, self.early = np.array(table["early_from"]), np.array(table["early_growth"])
        self.by_call = table["by_call"]

    def _of(self, values: list[float]) -> Quantiles:
        return Quantiles(self.shares, np.array(values, np.float64))

    def _agent(self, table: dict[str, list[float]]) -> Agent:
        return Agent(*(self._of(table[key]) for key in ("calls", "first_input", "growth", "output")))


def fitted_ids() -> tuple[str, ...]:
    """Agents of the catalogue that are fitted."""
    return tuple(name for name in loader.ids(KIND) if "fitted" in loader.load(KIND, name).extra)


@lru_cache(maxsize=8)
def load_fitted(name: str) -> Fitted:
    entry = loader.load(KIND, name)
    if "fitted" not in entry.extra:
        raise CatalogError(f"agents/{entry.id} is not fitted to a recording")
    return Fitted(entry.extra["fitted"])


def fitted_means(name: str) -> tuple[Fraction, Fraction]:
    """(total, visible) tokens of a recorded session in the mean: the sums that it is fitted to. Generated runs come near
    them; how near stands in the entry."""
    entry = loader.load(KIND, name)
    total = int(entry["recorded_input"]) + int(entry["recorded_output"])
    return Fraction(total, int(entry["recorded_sessions"])), Fraction(
        int(entry["recorded_last_output"]), int(entry["recorded_sessions"])
    )
