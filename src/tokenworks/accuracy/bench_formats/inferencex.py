"""Processed rows of InferenceX (`agg_*.json`): per GPU, in seconds, with the deployment's facts beside."""

from __future__ import annotations

import re
from typing import Any

from tokenworks import catalog
from tokenworks.accuracy.bench_formats.bench import Bench, Fields, Stated, Unused

ENGINES = {"trt": "tensorrt-llm", "trtllm": "tensorrt-llm"}


def is_inferencex(table: dict[str, Any]) -> bool:
    return "hw" in table and "conc" in table and "output_tput_per_gpu" in table


def read_inferencex(place: str, table: dict[str, Any]) -> Bench | Unused:
    """One row. Raises InputError naming file and key."""
    fields = Fields(place, table)
    if _flag(table.get("disagg")) or _flag(table.get("is_multinode")):
        return Unused(place, "separate prefill and decode workers: only aggregated deployments are calibrated")
    harness = catalog.load("harnesses", "inferencex")
    clients = fields.whole("conc") or 1
    return Bench(
        place,
        "InferenceX",
        _facts(fields, table),
        "",
        clients,
        None,
        clients * int(harness["prompts_per_client"]),
        fields.needed("isl"),
        fields.needed("osl"),
        float(harness["range_ratio"]),
        None,
        None,
        fields.needed("output_tput_per_gpu"),
        fields.number("mean_tpot"),
        fields.number("median_tpot"),
        fields.number("mean_ttft"),
        fields.number("median_ttft"),
    )


def _facts(fields: Fields, table: dict[str, Any]) -> dict[str, Stated]:
    framework, precision = fields.text("framework"), fields.text("precision")
    tp = fields.whole("tp") or 1
    ranks = tp if _flag(table.get("dp_attention")) else 1
    found = {
        "accelerator": Stated("hw", fields.text("hw").split("-")[0]),
        "engine": Stated("framework", ENGINES.get(framework, framework)),
        "model": Stated("model", fields.text("model")),
        "tp": Stated("tp", tp // ranks),
        "dp": Stated("dp_attention", ranks),
        "ep": Stated("ep", fields.whole("ep") or 1),
    }
    if precision != "fp4":  # a width, not a format: --weights says which
        found["weights"] = Stated("precision", precision)
    if fields.text("spec_decoding") not in ("", "none"):
        found["speculation"] = Stated("spec_decoding", fields.text("spec_decoding"))
    version = re.search(r"(\d+\.\d+(?:\.\d+)?)", fields.text("image").rpartition(":")[2])
    if version:
        found["engine_version"] = Stated("image", version.group(1))
    return {name: stated for name, stated in found.items() if stated.value != ""}


def _flag(value: object) -> bool:
    return value is True or str(value).lower() == "true"
