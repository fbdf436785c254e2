"""Honest splits: twins of validation rows, distinct measurements, groups to leave out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from tokenworks import catalog
from tokenworks.accuracy.rows import Measurement, Row

Key = tuple[object, ...]


def configuration(row: Row) -> Key:
    """What makes two rows measurements of the same thing, whatever their date or version."""
    r = row
    return (
        r.gpu, r.model, r.quantization, r.engine, r.tp, r.pp, r.dp_attention, r.moe_tp, r.moe_ep,
        r.isl, r.osl, r.concurrency, r.batch_size, r.request_rate,
    )  # fmt: skip


def validation_twins(measured: Sequence[Measurement]) -> set[Key]:
    """Configurations of validation rows: calibration must not see any row of them."""
    return {configuration(m.row) for m in measured if m.split == "validation"}


def distinct(measured: Sequence[Measurement]) -> list[bool]:
    """False for a row that prints again what an earlier row printed (same configuration and figures)."""
    seen: set[Key] = set()
    first = []
    for m in measured:
        t = m.targets
        key = (
            configuration(m.row),
            m.row.dataset,
            t.output_tokens_s_gpu,
            t.tpot_ms_mean,
            t.tpot_ms_median,
            t.ttft_ms_mean,
        )
        first.append(key not in seen)
        seen.add(key)
    return first


def suspicious(row: Row) -> str:
    """Why a published row contradicts itself or its neighbours; "" for the others."""
    return _reason(row, "suspicious")


def known_cause(row: Row) -> str:
    """Why the prediction of such a row is off, where that is known; "" elsewhere."""
    return suspicious(row) or _reason(row, "known-causes")


def _reason(row: Row, rules: str) -> str:
    """The reason of the first rule of a file that the row matches."""
    for rule in catalog.load("harnesses", rules).extra["rules"]:
        if (row.tp or 0) < rule.get("min_tp", 0) or (row.concurrency or 0) < rule.get("min_concurrency", 0):
            continue
        if not rule.get("from_date", "") <= row.date <= rule.get("until_date", "9999"):
            continue
        keys = (key for key in rule if key != "reason" and not key.startswith(("min_", "from_", "until_")))
        if all(getattr(row, key) == rule[key] for key in keys):
            return str(rule["reason"])
    return ""


def group(row: Row) -> Key:
    """A whole (gpu, model, engine) group."""
    return (row.gpu, row.model, row.engine)


def fold(key: Key, folds: int = 5) -> int:
    """The fold of a group: fixed, whatever else is in the table."""
    return zlib.crc32(repr(key).encode()) % folds
