"""The few coefficients of the performance model, resolved for one deployment.

A coefficient ("term") of a deployment is  prior · exp(Σ effects): a pooled value times effects of ever
narrower families (generation, accelerator, engine, engine era, model kind …). An accelerator, model or
engine without measurements has no narrow effects and inherits its family's. Priors, bounds and families are
data (catalogue kind ``calibration``); the effects are fitted by ``tokenworks calibrate``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenworks import catalog
from tokenworks.errors import CatalogError
from tokenworks.physics.deployment import Deployment

CALIBRATION = Path(catalog.__file__).parent / "data" / "calibration"


@dataclass(frozen=True)
class Terms:
    """Factors on the operator curves (`physics.curves`) and seconds, where the name ends in _s; power is in shares of
    the TDP."""

    mem_dense: float  # on the share of memory bandwidth when dense weights are streamed
    mem_experts: float  # … when expert weights are streamed
    mem_kv: float  # … when decode attention reads the KV cache
    flop_dense: float  # on the share of the precision's dense peak in dense GEMMs
    gemm_edge: float  # on the columns that they lose to pipeline fill and tile edges
    flop_experts: float  # on the share of the peak in grouped expert GEMMs
    flop_attention: float  # on the share of the bf16 peak in attention
    link: float  # on the share of the usable link bandwidth in collectives
    collective_s: float  # latency of one all-reduce, gather or scatter
    kernel_s: float  # launch and drain of one kernel
    step_s: float  # host time of one step
    seq_s: float  # host time per decode sequence and step
    eager_s: float  # host time to launch one kernel of a step with prefill, where those run outside CUDA graphs
    prompt_s: float  # host time per request whose prefill ends in a step
    speed: float  # divides all device time: versions and combinations
    ingress_s: float  # a request's way to the engine and its first token's way back
    cold_s: float  # stall of a cold server's first burst (harnesses only)
    power_base: float  # share of TDP drawn while stepping, whatever is computed
    power_memory: float  # … added at full memory bandwidth
    power_flop: float  # … added at full tensor throughput
    power_seq: float  # … added in the host's time per sequence, in which sampling kernels run
    memory_bend: float  # exponent of the utilisation of memory in power
    flop_bend: float  # … of tensor cores


NAMES = tuple(field.name for field in fields(Terms))


@dataclass(frozen=True)
class Family:
    """One level of pooling: the attributes that form its key, and the prior spread of its effects (log).

    ``own``: what one group has to itself. It is fitted last, with all pooled effects standing: a group that could
    explain itself by itself would teach the pooled effects nothing, and new groups would pay for it.
    """

    attributes: tuple[str, ...]
    spread: float
    own: bool = False

    def key(self, attributes: Mapping[str, str]) -> str:
        return "+".join(f"{name}={attributes[name]}" for name in self.attributes)


@dataclass(frozen=True)
class Prior:
    """Where a term starts and how far all deployments together may move it (log), the bounds that physics sets, and
    the families that may move it further."""

    value: float
    spread: float
    low: float
    high: float
    families: tuple[Family, ...]

    def at(self, shift: float) -> float:
        """The term that effects of this sum make: logistic between the bounds, for small shifts value·exp(shift)."""
        odds = (self.value - self.low) / (self.high - self.value) * math.exp(min(60.0, shift * self._stretch()))
        return min(self.high, self.low + (self.high - self.low) * odds / (1.0 + odds))  # rounding may pass the bound

    def steepness(self, term: float) -> float:
        """∂ log term / ∂ shift where the term has this value: 1 at the prior's value, 0 at the bounds."""
        return self._stretch() * (term - self.low) * (self.high - term) / (term * (self.high - self.low))

    def _stretch(self) -> float:
        return self.value * (self.high - self.low) / ((self.value - self.low) * (self.high - self.value))


def _prior(name: str, table: Mapping[str, Any]) -> Prior:
    try:
        pooled = tuple(Family(tuple(key.split("+")), float(sd)) for key, sd in table["families"].items())
        own = tuple(Family(tuple(key.split("+")), float(sd), own=True) for key, sd in table.get("own", {}).items())
        value, spread, low, high = (float(table[key]) for key in ("value", "spread", "low", "high"))
        return Prior(value, spread, low, high, pooled + own)
    except KeyError as missing:
        raise CatalogError(f"calibration/priors.toml: {name} has no {missing}") from missing


@lru_cache(maxsize=1)
def priors() -> dict[str, Prior]:
    """Priors of every term, from the catalogue."""
    import tomllib

    tables = tomllib.loads((CALIBRATION / "priors.toml").read_text())
    missing = [name for name in NAMES if name not in tables]
    if missing:
        raise CatalogError(f"calibration/priors.toml lacks {', '.join(missing)}")
    return {name: _prior(name, tables[name]) for name in NAMES}


Effects = Mapping[str, Mapping[str, float]]


@lru_cache(maxsize=1)
def shipped_effects() -> Effects:
    """Fitted effects by term and family key, as shipped."""
    path = CALIBRATION / "effects.json"
    if not path.exists():
        raise CatalogError(f"no calibration: {path.name} is missing; run `tokenworks calibrate`")
    effects: dict[str, dict[str, float]] = json.loads(path.read_text())["effects"]
    return effects


def era(version: str, date: str) -> str:
    """Era of an engine's overheads: "0.13" from a version, else the month, else "unknown"."""
    match = re.search(r"(\d+)\.(\d+)", version)
    if match:
        return f"{match.group(1)}.{match.group(2)}"
    return date[:7] if date else "unknown"


def quarter(date: str) -> str:
    """ "2025Q4" from an ISO date or month; the image behind a benchmark is often known by its date alone."""
    match = re.match(r"(\d{4})-(\d{2})(?!\d)", date, re.ASCII)
    return f"{match.group(1)}Q{(int(match.group(2)) + 2) // 3}" if match else "unknown"


def model_kind(model: catalog.Entry) -> str:
    if model["attention"] == "mla":
        return "mla"
    return "moe" if model["experts"] else "dense"


def attributes(deployment: Deployment, client: str = "") -> dict[str, str]:
    """The names by which effects are pooled. ``client``: the harness that measures, "" for a factory of one's own."""
    accelerator = catalog.load("accelerators", deployment.accelerator)
    model = catalog.load("models", deployment.model)
    engine = catalog.load("engines", deployment.engine)
    return {
        "accelerator": deployment.accelerator,
        "generation": str(accelerator["generation"]),
        "link": str(accelerator["link_kind"]),
        "vendor": str(accelerator["vendor"]).lower(),
        "engine": str(engine["base"]),
        "era": era(deployment.engine_version, deployment.date),
        "quarter": quarter(deployment.date),
        "weights": deployment.weights,
        "kind": model_kind(model),
        "model": deployment.model,
        "spread": "wide" if deployment.gpus > deployment.gpus_per_node else "node",
        "client": client or "own",
        "dp": "dp" if deployment.dp > 1 else "tp",
    }


def resolve(deployment: Deployment, effects: Effects | None = None, client: str = "") -> Terms:
    """Terms of a deployment under fitted effects (None: those shipped), inside the physical bounds; what its own site
    measured is added."""
    fitted = shipped_effects() if effects is None else effects
    names = attributes(deployment, client)
    site = dict(deployment.site.shifts) if deployment.site else {}
    return Terms(
        **{name: _value(prior, fitted.get(name, {}), names, site.get(name, 0.0)) for name, prior in priors().items()}
    )


def _value(prior: Prior, effects: Mapping[str, float], names: Mapping[str, str], site: float) -> float:
    shift = site + sum(_effect(family, effects, names) for family in prior.families)
    shift += effects.get("all", 0.0)
    return prior.at(shift)


def _effect(family: Family, effects: Mapping[str, float], names: Mapping[str, str]) -> float:
    """The fitted effect; a version or quarter that nobody measured reverts to the latest earlier one that was."""
    key = family.key(names)
    if key in effects:
        return effects[key]
    timed = next((name for name in ("era", "quarter") if name in family.attributes), None)
    now = _order(names[timed]) if timed else None
    if timed is None or now is None:
        return 0.0
    place, parts = family.attributes.index(timed), key.split("+")
    earlier: list[tuple[tuple[str, float, float], float]] = []
    for known, effect in effects.items():
        other = known.split("+")
        then = _order(other[place].partition("=")[2]) if _same_but(other, parts, place) else None
        if then is not None and then[0] == now[0] and then < now:
            earlier.append((then, effect))
    return max(earlier)[1] if earlier else 0.0


def _same_but(known: list[str], wanted: list[str], place: int) -> bool:
    """Whether two keys have the same attributes and values, but for one place."""
    if len(known) != len(wanted) or known[place].partition("=")[0] != wanted[place].partition("=")[0]:
        return False
    return all(a == b for i, (a, b) in enumerate(zip(known, wanted, strict=True)) if i != place)


def _order(text: str) -> tuple[str, float, float] | None:
    """Something to compare eras by, within one way of writing: versions, months, quarters."""
    for kind, pattern in (("month", r"(\d{4})-(\d{2})"), ("quarter", r"(\d{4})Q(\d)"), ("version", r"(\d+)\.(\d+)")):
        match = re.fullmatch(pattern, text)
        if match:
            return kind, float(match.group(1)), float(match.group(2))
    return None
