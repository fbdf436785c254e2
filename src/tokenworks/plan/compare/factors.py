"""Why $/Mtok and tokens/J differ, term by term of an identity that holds for every run.

With G GPUs that are busy a share u of the time, of n to a worker whose batches hold b sequences and take τ seconds of
busy time for each token of every sequence, output is G·u·b/(n·τ) tokens/s, so
    $/token = (h + s + w·o·e) · n·τ / (u·b)       tokens/J = u·b / (n·τ·w·o)
h: dollars of hardware and s: of space per GPU-second, w: board watts per GPU, o: facility over board watts, e: dollars
per facility joule. τ is what is left: prefill and everything else that a worker does between tokens is in it.
This is accounting: it says which term moved, not which field of the file moved it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tokenworks.plan.compare.shapley import shapley
from tokenworks.plan.compare.sides import Result

SPACE, ELECTRIC = ("space and cooling plant",), ("energy", "demand charge")
PRICE, ENERGY = "$/Mtok output", "tokens/J facility"


@dataclass(frozen=True)
class Terms:
    """The terms of one run, per GPU where that makes sense."""

    hardware_usd_s: float
    space_usd_s: float
    board_w: float
    overhead: float  # facility over board watts
    usd_j: float
    utilisation: float
    batch: float
    gpus_per_worker: float
    step_s: float


NAMES: Mapping[str, str] = {
    "hardware_usd_s": "hardware price",
    "space_usd_s": "space price",
    "board_w": "board watts",
    "overhead": "watts beside boards",
    "usd_j": "electricity price",
    "utilisation": "utilisation",
    "batch": "batch",
    "gpus_per_worker": "GPUs per worker",
    "step_s": "step time",
}


def terms(result: Result) -> Terms | None:
    """None for a run that made no token."""
    services, horizon_s, gpus = result["services"], float(result["horizon_s"]), int(result["gpus"])
    tokens = sum(s["output_tokens"] for s in services)
    busy, workers = float(result["utilisation"]), sum(s["workers"] for s in services)
    if not tokens or not busy:
        return None
    costs = {p["label"]: float(p["value"]) for p in result["money"]["parts"]}
    space, electric = (sum(costs.pop(cause, 0.0) for cause in causes) for causes in (SPACE, ELECTRIC))
    batch = sum(s["mean_batch"] * s["output_tokens"] for s in services) / tokens
    width = sum(s["gpus"] for s in services) / workers
    energy, gpu_s = result["energy"], gpus * horizon_s
    return Terms(
        hardware_usd_s=sum(costs.values()) / gpu_s,
        space_usd_s=space / gpu_s,
        board_w=energy["board_j"] / gpu_s,
        overhead=energy["facility_j"] / energy["board_j"],
        usd_j=electric / energy["facility_j"],
        utilisation=busy,
        batch=batch,
        gpus_per_worker=width,
        step_s=gpu_s * busy * batch / (width * tokens),
    )


def usd_per_mtok(t: Terms) -> float:
    dollars = t.hardware_usd_s + t.space_usd_s + t.board_w * t.overhead * t.usd_j
    return 1e6 * dollars / _tokens_s(t)


def tokens_per_j(t: Terms) -> float:
    return _tokens_s(t) / (t.board_w * t.overhead)


def _tokens_s(t: Terms) -> float:
    """Of one GPU."""
    return t.utilisation * t.batch / (t.gpus_per_worker * t.step_s)


def by_term(before: Terms, after: Terms) -> dict[str, dict[str, float]]:
    """Figure → term → its part of the change, in the figure's unit: Shapley shares over the terms; they sum to the change."""
    found = {}
    for name, figure in ((PRICE, usd_per_mtok), (ENERGY, tokens_per_j)):
        shares = shapley(list(NAMES), partial(_mixed, figure, before, after))
        found[name] = {NAMES[n]: share for n, share in shares.items()}
    return found


def _mixed(figure: Callable[[Terms], float], before: Terms, after: Terms, moved: frozenset[str]) -> float:
    """The figure with some terms of the second run."""
    return figure(Terms(**{n: getattr(after if n in moved else before, n) for n in NAMES}))
