"""What is kept of a rehearsed point: plain figures, the same for every sweep, comparison and upgrade."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tokenworks.errors import CatalogError, InputError
from tokenworks.events.results import RunResult
from tokenworks.rehearsal.objectives import missed, unknown
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec.factory import Factory
from tokenworks.spec.values import value_of

OK, OVERLOADED, MISSES, IMPOSSIBLE = "ok", "overloaded", "misses", "impossible"
Row = dict[str, Any]


def row_of(factory: Factory, changes: tuple[tuple[str, str], ...]) -> Row:
    """The factory with these changes, rehearsed; where it cannot be built, why. Depends on the arguments alone."""
    try:
        made = factory.replace_all({path: value_of(text) for path, text in changes})
        return figures(rehearse(made, idleness=False).result)
    except (InputError, CatalogError) as error:
        return {"state": IMPOSSIBLE, "reason": _one_line(str(error))}


def _one_line(message: str) -> str:
    """Without the place in a file that does not hold the change, and without the tail about nothing being run."""
    lines = [line for line in message.splitlines() if not line.endswith("Nothing was run.")]
    return "; ".join(line.partition("  ")[2] or line for line in lines)


def figures(result: RunResult) -> Row:
    """Figures of a result as JSON types: seconds, watts, tokens, dollars; None where there is none."""
    state, reason = judged(result)
    found: Row = {
        "state": state,
        "reason": reason,
        "usd_per_mtok": result.usd_per_mtok.value,
        "output_tokens_s": result.output_tokens_s.value,
        "tokens_per_j": result.tokens_per_j_facility,
        "tokens_s_user": result.tokens_s_user.value,
        "gpus": result.gpus,
        "utilisation": result.utilisation,
        "facility_w": result.energy.facility_j / result.horizon_s,
        "peak_w": result.peak_power_w,
        "usd_h": result.money.total_usd / result.horizon_s * 3600.0,
        "carbon_g_per_mtok": per_million(result.carbon_kg * 1e3, sum(s.output_tokens for s in result.services)),
    }
    for s in result.services:
        found |= {
            f"{s.name}.state": OVERLOADED if s.saturated else MISSES if missed(s) or unknown(s) else OK,
            f"{s.name}.ttft_p95_s": s.ttft.p95_s,
            f"{s.name}.tpot_p95_s": s.tpot.p95_s,
            f"{s.name}.requests_s": s.arrived / result.horizon_s,
            f"{s.name}.sustainable_requests_s": s.sustainable_requests_s,
            f"{s.name}.within_slo": s.within_slo / s.finished if s.finished else None,
            f"{s.name}.workers": s.workers,
        }
    return {name: _plain(value) for name, value in found.items()}


def per_million(amount: float, tokens: float) -> float | None:
    return amount / tokens * 1e6 if tokens else None


def judged(result: RunResult) -> tuple[str, str]:
    """Whether a factory does what is asked of it, and what it does not."""
    over = [s.name for s in result.services if s.saturated]
    if over:
        return OVERLOADED, f"{' and '.join(over)} overloaded"
    late = [f"{s.name} misses {' and '.join(missed(s))}" for s in result.services if missed(s)]
    late += [f"{s.name} finished nothing that was measured" for s in result.services if unknown(s)]
    return (MISSES, "; ".join(late)) if late else (OK, "")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Figures that points are ranked by: whether more is better.
RANKS: Mapping[str, bool] = {"usd_per_mtok": False, "tokens_per_j": True, "output_tokens_s": True, "usd_h": False}
