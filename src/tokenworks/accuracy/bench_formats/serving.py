"""`vllm bench serve --save-result`, `python -m sglang.bench_serving --output-file`, and what InferenceX's client writes:
flat objects with the same names of metrics, in milliseconds."""

from __future__ import annotations

import math
import re
from typing import Any

from tokenworks.accuracy.bench_formats.bench import Bench, Fields, Stated, Unused, lost
from tokenworks.errors import InputError

SERVER = {"tp_size": "tp", "pp_size": "pp", "ep_size": "ep", "version": "engine_version"}  # of SGLang's server_info


def is_serving(table: dict[str, Any]) -> bool:
    return "output_throughput" in table and "completed" in table


def read_serving(place: str, table: dict[str, Any]) -> Bench | Unused:
    """One run. Raises InputError naming file and key."""
    fields = Fields(place, table)
    done = fields.whole("completed")
    if done is None:
        return Unused(place, "no request was completed")
    failed = lost(done, fields.whole("num_prompts"))
    if failed or "ramp_up_strategy" in fields:
        return Unused(place, failed or "its rate ramps up: no steady load")
    sglang = "random_input_len" in table or "server_info" in table
    lengths = _lengths(fields, done, sglang)
    return Bench(
        place,
        "SGLang bench_serving" if sglang else "vLLM bench serve",
        _facts(fields, sglang),
        _date(fields.text("date")),
        fields.whole("max_concurrency"),
        _rate(fields),
        done,
        *lengths,
        fields.number("request_throughput"),
        fields.needed("output_throughput"),
        None,
        fields.seconds("mean_tpot_ms"),
        fields.seconds("median_tpot_ms"),
        fields.seconds("mean_ttft_ms"),
        fields.seconds("median_ttft_ms"),
    )


def _lengths(fields: Fields, done: int, sglang: bool) -> tuple[float, float, float | None]:
    """Input and output length and the lowest share: as asked for where SGLang drew them evenly from a range, else the
    means of what was sent and got."""
    ratio, isl, osl = (fields.number(key) for key in ("random_range_ratio", "random_input_len", "random_output_len"))
    if sglang and fields.text("dataset_name") == "random" and isl and osl:
        return isl, osl, None if ratio == 1.0 else ratio or 0.0
    output = "total_output_tokens" if "total_output_tokens" in fields else "total_output"
    return fields.needed("total_input_tokens") / done, fields.needed(output) / done, None


def _rate(fields: Fields) -> float | None:
    """Requests per second; None for "inf": all at once."""
    value = fields.raw("request_rate")
    if value is None or str(value).strip().lower() in ("inf", "infinity"):
        return None
    if value == "trace":
        raise InputError(f'{fields.place}: request_rate is "trace": a replayed trace is no steady load')
    if isinstance(value, float) and math.isinf(value):
        return None
    return fields.needed("request_rate")


def _facts(fields: Fields, sglang: bool) -> dict[str, Stated]:
    found: dict[str, Stated] = {}
    server = fields.raw("server_info")
    if isinstance(server, dict):
        for key, name in SERVER.items():
            if isinstance(server.get(key), str | int) and server[key]:
                found[name] = Stated(f"server_info.{key}", server[key])
    model = fields.text("model_id") or (str(server.get("model_path", "")) if isinstance(server, dict) else "")
    if model:
        found["model"] = Stated("model_id" if "model_id" in fields else "server_info.model_path", model)
    if sglang and fields.text("backend") == "sglang":
        found["engine"] = Stated("backend", "sglang")
    return found


def _date(text: str) -> str:
    """An ISO date from "20251017-202208" or an ISO time; "" where it is neither."""
    match = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", text)
    return "-".join(match.groups()) if match else ""
