"""Plain facts and runs for tests of the books: round numbers, nothing from the catalogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.economics.account import PhysicalRun, ServiceUse
from tokenworks.economics.capital import YEAR_S, SystemFacts
from tokenworks.economics.facts import Facts
from tokenworks.economics.path import LossShape, PathStage
from tokenworks.economics.power import HostFacts, SiteFacts
from tokenworks.economics.tariff import Tariff

OWNED = SystemFacts("rack", True, 8, 10_000.0, 400_000.0, 0.1, 4 * YEAR_S, 0.03, 0.05, 0.0, 100.0)
RENTED = SystemFacts("cloud", False, 16, 20_000.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0 / 3600, 0.0)
HOSTS = HostFacts(400.0, 800.0, 100.0, 500.0, 0.1, 0.9)
SITE = SiteFacts(10_000.0, (PathStage("all", 0.95, 1.0),), LossShape(0.0, 0.0), 0.1, 0.004, 15.0, 15.0, 0.1, None, 0.5)
TARIFF = Tariff((0.05,) * 12 + (0.15,) * 12, 10.0, 900.0, (300.0,) * 6 + (500.0,) * 18, 150.0, 1.0)
USE = ServiceUse("chat", 6, 0.5, 0.4, 9e6, 3e6, 2e6, 4e6, 5e6, 1e7, system="rack")


def facts(*systems: SystemFacts) -> Facts:
    kept = systems or (OWNED,)
    design = sum(s.nameplate_w for s in kept)
    return Facts(kept, HOSTS, replace(SITE, design_w=design), TARIFF, ((0.0, 12_000.0),), "facility", 99.0)


def physical(*uses: ServiceUse, horizon_s: float = 3600.0, buckets: int = 60, watts: float = 5000.0) -> PhysicalRun:
    kept = uses or (USE,)
    board = np.full((len(kept), buckets), watts / len(kept)) * np.linspace(0.8, 1.2, buckets)
    activity = np.full(buckets, 0.5)
    return PhysicalRun(horizon_s, horizon_s / buckets, board, activity, 100.0, kept, 8)
