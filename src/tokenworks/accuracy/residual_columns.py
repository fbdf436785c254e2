"""Residuals as columns: what the Parquet file holds, one entry per row of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from tokenworks.accuracy.breakdown import OPERATORS
from tokenworks.accuracy.residuals import Residual, Setting, bounds, inside, predicted, printed
from tokenworks.accuracy.rows import Row
from tokenworks.accuracy.tables import METRICS

INPUTS = tuple(field.name for field in fields(Row))
# Names with units, of the measured and predicted values.
NAMED = dict(
    zip(
        METRICS,
        ("output_tokens_s_gpu", "tpot_ms_mean", "tpot_ms_median", "ttft_ms_mean", "ttft_ms_median",
         "joules_per_output_token"),
        strict=True,
    )
)  # fmt: skip
BOUNDED = ("throughput", "tpot mean", "ttft mean", "energy")
_SETTING: dict[str, Callable[[Setting], Any]] = {
    "mode": lambda s: s.mode,
    "novelty": lambda s: s.novelty,
    "harness": lambda s: s.harness,
    "engine_family": lambda s: s.family,
    "engine_era": lambda s: s.era,
    "engine_quarter": lambda s: s.quarter,
    "model_kind": lambda s: s.kind,
    "weights": lambda s: s.deployment.weights,
    "kv": lambda s: s.deployment.kv,
    "replica_gpus": lambda s: s.deployment.gpus,
    "replicas": lambda s: s.replicas,
    "max_seqs": lambda s: s.deployment.max_seqs,
    "token_budget": lambda s: s.deployment.token_budget,
    "memory_pressure": lambda s: s.memory_pressure,
    "running_sequences": lambda s: s.work.sequences,
    "share_with_prefill": lambda s: s.work.with_prefill,
    "simulated_worker_s": lambda s: s.work.worker_s,
}
SETTING = tuple(_SETTING)


def share_name(operator: str) -> str:
    """The column of an operator's share.

    >>> share_name("norms, activations")
    'share_norms_activations'
    """
    return "share_" + operator.replace(",", "").replace("-", "_").replace(" ", "_")


def columns(found: Sequence[Residual]) -> dict[str, list[Any]]:
    """Name → values; None where there is none. ``log_residual_*`` = ln(predicted / measured)."""
    table: dict[str, list[Any]] = {
        "row": [r.number for r in found],
        "id": [r.measured.id for r in found],
        "split": [r.measured.split for r in found],
    }
    table |= {name: [_cell(getattr(r.measured.row, name)) for r in found] for name in INPUTS}
    table["status"] = [r.answer.status for r in found]
    table["assumed_or_reason"] = [_cell(r.answer.reason) for r in found]
    table |= {name: [of(r.setting) if r.setting else None for r in found] for name, of in _SETTING.items()}
    return table | _metrics(found) | _shares(found)


def _cell(value: Any) -> Any:
    return None if value == "" else value


def _metrics(found: Sequence[Residual]) -> dict[str, list[Any]]:
    truth, said = [printed(r.measured.targets) for r in found], [predicted(r.answer) for r in found]
    logs, bands, hits = [r.logs() for r in found], [bounds(r.answer) for r in found], [inside(r) for r in found]
    table: dict[str, list[Any]] = {}
    for metric, name in NAMED.items():
        table[f"measured_{name}"] = [t[metric] for t in truth]
        table[f"predicted_{name}"] = [p[metric] for p in said]
        table[f"log_residual_{name}"] = [values.get(metric) for values in logs]
    for metric in BOUNDED:
        name = NAMED[metric]
        for side, place in (("p10", 0), ("p90", 1)):
            table[f"{side}_{name}"] = [b[metric][place] if metric in b else None for b in bands]
        table[f"inside_{name}"] = [h.get(metric) for h in hits]
    return table


def _shares(found: Sequence[Residual]) -> dict[str, list[Any]]:
    return {
        share_name(name): [r.setting.work.shares[i] if r.setting else None for r in found]
        for i, name in enumerate(OPERATORS)
    }
