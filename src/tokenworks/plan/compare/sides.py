"""One side of a comparison, and the figures that are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tokenworks.events.results import RunResult
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec.factory import Factory

Result = Mapping[str, Any]  # a RunResult as names and values, from a run or from its result.json
HOUR_S = 3600.0


@dataclass(frozen=True)
class Side:
    """A factory with its result; a result alone has no factory."""

    name: str
    result: Result
    factory: Factory | None = None


@dataclass(frozen=True)
class Line:
    """A figure of every side; None where a side has none."""

    group: str  # results, services' names, "cost, $/h", "power, W"
    name: str
    values: tuple[float | None, ...]

    @property
    def relative(self) -> tuple[float | None, ...]:
        """Of each side over the first, less one."""
        first = self.values[0]
        return tuple(v / first - 1 if v is not None and first else None for v in self.values)


def rehearsed(name: str, factory: Factory) -> Side:
    return Side(name, of_result(rehearse(factory, idleness=False).result), factory)


def of_result(result: RunResult) -> Result:
    return asdict(replace(result, timeline=None))  # type: ignore[arg-type]


def lines(sides: Sequence[Side]) -> list[Line]:
    """All figures, by group; costs and services that only some sides have are there with None."""
    return [replace(line, values=tuple(_known(v) for v in line.values)) for line in _lines(sides)]


def _known(value: float | None) -> float | None:
    """A latency of which nothing was measured is none."""
    return value if value is not None and math.isfinite(value) else None


def _lines(sides: Sequence[Side]) -> list[Line]:
    results = [side.result for side in sides]
    found = [Line("results", name, tuple(read(r) for r in results)) for name, read in FIGURES.items()]
    for service in dict.fromkeys(s["name"] for r in results for s in r["services"]):
        mine = [next((s for s in r["services"] if s["name"] == service), None) for r in results]
        found += [
            Line(service, name, tuple(None if s is None else read(s, r) for s, r in zip(mine, results, strict=True)))
            for name, read in OF_SERVICE.items()
        ]
    causes = dict.fromkeys(part["label"] for r in results for part in r["money"]["parts"])
    found += [Line("cost, $/h", cause, tuple(_cost_h(r, cause) for r in results)) for cause in causes]
    found.append(Line("cost, $/h", "total", tuple(_h(r["money"]["total_usd"], r) for r in results)))
    found += [Line("power, W", name, tuple(read(r) for r in results)) for name, read in WATTS.items()]
    return found


def _h(amount: float, result: Result) -> float:
    return amount / float(result["horizon_s"]) * HOUR_S


def _cost_h(result: Result, cause: str) -> float | None:
    return next((_h(p["value"], result) for p in result["money"]["parts"] if p["label"] == cause), None)


FIGURES: Mapping[str, Callable[[Result], float | None]] = {
    "$/Mtok output": lambda r: r["usd_per_mtok"]["value"],
    "output tokens/s": lambda r: r["output_tokens_s"]["value"],
    "tokens/J facility": lambda r: r["tokens_per_j_facility"],
    "tokens/s/user": lambda r: r["tokens_s_user"]["value"],
    "GPUs": lambda r: r["gpus"],
    "utilisation": lambda r: r["utilisation"],
    "CO2, kg/h": lambda r: _h(r["carbon_kg"], r),
}
OF_SERVICE: Mapping[str, Callable[[Any, Result], float | None]] = {
    "TTFT p95, s": lambda s, r: s["ttft"]["p95_s"],
    "TPOT p95, s": lambda s, r: s["tpot"]["p95_s"],
    "arrived, 1/s": lambda s, r: s["arrived"] / r["horizon_s"],
    "sustains, 1/s": lambda s, r: s["sustainable_requests_s"] or None,
    "mean batch": lambda s, r: s["mean_batch"],
    "within SLO": lambda s, r: s["within_slo"] / s["finished"] if s["finished"] else None,
}
WATTS: Mapping[str, Callable[[Result], float | None]] = {
    "GPU boards": lambda r: r["energy"]["board_j"] / r["horizon_s"],
    "IT": lambda r: r["energy"]["it_j"] / r["horizon_s"],
    "facility": lambda r: r["energy"]["facility_j"] / r["horizon_s"],
}
