"""80% intervals from out-of-fold errors: conformal per metric, serving mode and kind of novelty."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from tokenworks.errors import CatalogError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import CALIBRATION

POOL = 50  # strata with fewer residuals are pooled
LEVEL = 0.80
KNOWN, NEW_GROUP, NEW_MODEL, NEW_ACCELERATOR = "known", "new group", "new model", "new accelerator"
NOVELTIES = (KNOWN, NEW_GROUP, NEW_MODEL, NEW_ACCELERATOR)  # from the best known on

Residuals = Mapping[tuple[str, str, str], list[float]]  # (metric, mode, novelty) → log(measured / predicted)


def bounds(errors: list[float]) -> tuple[float, float]:
    """Split-conformal bounds of the log error at LEVEL: the ⌈(n + 1)·q⌉-th order statistics."""
    ordered = np.sort(np.array(errors))
    n, tail = len(ordered), (1 - LEVEL) / 2
    # 1e-9: 100 · 0.1 must not count as a little less than 10
    low = max(0, math.floor((n + 1) * tail + 1e-9) - 1)
    high = min(n - 1, math.ceil((n + 1) * (1 - tail) - 1e-9) - 1)
    return float(ordered[low]), float(ordered[high])


def build(residuals: Residuals) -> dict[str, Any]:
    """Bounds of every stratum; thin ones are pooled over modes, then over novelties (never narrower kinds)."""
    table: dict[str, Any] = {}
    metrics = sorted({metric for metric, _, _ in residuals})
    modes = sorted({mode for _, mode, _ in residuals})
    for metric in metrics:
        for mode in modes:
            for novelty in NOVELTIES:
                errors, said = stratum(residuals, metric, mode, novelty)
                if errors:
                    low, high = bounds(errors)
                    table[f"{metric}|{mode}|{novelty}"] = {
                        "low": round(low, 4),
                        "high": round(high, 4),
                        "rows": len(errors),
                        "pooled": said,
                    }
    return table


def stratum(residuals: Residuals, metric: str, mode: str, novelty: str) -> tuple[list[float], str]:
    """Residuals for one kind of prediction, and over what they were pooled (\"\" = over nothing)."""
    exact = list(residuals.get((metric, mode, novelty), ()))
    if len(exact) >= POOL:
        return exact, ""
    unknown = NOVELTIES[1:] if novelty != KNOWN else NOVELTIES[:1]
    over = [e for n in unknown for e in residuals.get((metric, mode, n), ())]
    if len(over) >= POOL:
        return over, "novelties"
    every = [e for (m, _, n), errors in residuals.items() if m == metric and n in unknown for e in errors]
    return every, "modes"


@lru_cache(maxsize=1)
def shipped() -> dict[str, Any]:
    path = CALIBRATION / "intervals.json"
    if not path.exists():
        raise CatalogError(f"no intervals: {path.name} is missing; run `tokenworks calibrate`")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def novelty(deployment: Deployment) -> str:
    """Whether calibration saw this accelerator, this model, and both with this engine."""
    known = shipped()["known"]
    if deployment.accelerator not in known["accelerators"]:
        return NEW_ACCELERATOR
    if deployment.model not in known["models"]:
        return NEW_MODEL
    group = f"{deployment.accelerator}|{deployment.model}|{deployment.engine}"
    return KNOWN if group in known["groups"] else NEW_GROUP


def interval(metric: str, mode: str, kind: str, value: float) -> tuple[float, float]:
    """The 80% interval of a predicted value. Raises CatalogError for a metric without residuals."""
    table = shipped()["bounds"]
    entry = table.get(f"{metric}|{mode}|{kind}") or table.get(f"{metric}|closed|{kind}")
    if entry is None:
        raise CatalogError(f"no tested residuals for {metric} in mode {mode}")
    return value * math.exp(entry["low"]), value * math.exp(entry["high"])
