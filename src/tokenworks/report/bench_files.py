"""A bench as files: the JSON that AIPerf's readers know, and a CSV of its requests that can be played again as a trace."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from tokenworks.report.files import plain
from tokenworks.serve.bench.bench import BenchResult
from tokenworks.serve.bench.statistic import PERCENTILES, Statistic, statistic

SCHEMA = "1.1"  # of AIPerf's export, whose names and meanings of metrics are kept
MILLI = 1e3
COLUMNS = (
    "arrival_s", "input_tokens", "output_tokens", "session", "ttft_s", "tpot_s", "e2e_s", "status", "cached_tokens",
    "chunks", "input_asked", "output_asked", "late_s",
)  # fmt: skip


def bench_json(result: BenchResult) -> str:
    """`profile_export_aiperf.json`. ``inter_token_latency`` is what others call TPOT, ``inter_chunk_latency`` the gaps
    between chunks; what AIPerf has no name for stands under ``tokenworks``."""
    return json.dumps(plain({**_metrics(result), **_about(result)}), ensure_ascii=False, indent=1, allow_nan=False)


def _metrics(result: BenchResult) -> dict[str, Any]:
    f = result.figures
    per_user = [
        1 / a.tpot_s for a in result.answers if not a.error and a.at_s >= result.settings.warmup_s and a.tpot_s > 0
    ]
    found = {
        "request_throughput": _one("requests/sec", f.requests_s),
        "request_latency": _times(f.e2e),
        "time_to_first_token": _times(f.ttft),
        "inter_token_latency": _times(f.tpot),
        "inter_chunk_latency": _times(f.itl),
        "output_token_throughput": _one("tokens/sec", f.output_tokens_s),
        "total_token_throughput": _one("tokens/sec", f.output_tokens_s + f.input_tokens_s),
        "output_token_throughput_per_user": _of("tokens/sec/user", statistic(per_user)),
        "output_sequence_length": _of("tokens", f.output_tokens),
        "input_sequence_length": _of("tokens", f.input_tokens),
        "request_count": _one("requests", f.done),
        "error_request_count": _one("requests", f.failed),
        "benchmark_duration": _one("sec", f.span_s),
    }
    return found | ({"goodput": _one("requests/sec", f.good / f.span_s)} if result.settings.objectives else {})


def _about(result: BenchResult) -> dict[str, Any]:
    f, demand, settings = result.figures, result.demand, result.settings
    load = {
        "concurrency": demand.clients,
        "request_rate": demand.rate_s if demand.steady else None,
        "request_count": len(demand.requests),
        "warmup_request_count": f.warmup,
    }
    return {
        "schema_version": SCHEMA,
        "was_cancelled": result.interrupted,
        "start_time": result.started,
        "end_time": result.ended,
        "error_summary": [
            {"error_details": {"type": x.kind, "message": x.said[:200]}, "count": x.count} for x in f.failures
        ],
        "input_config": {
            "endpoint": {"model_names": [result.model], "url": result.url, "type": result.dialect, "streaming": True},
            "loadgen": {name: value for name, value in load.items() if value is not None},
        },
        "tokenworks": {
            "version": version("tokenworks"),
            "load": demand.said,
            "steady": demand.steady,
            "prompts": result.lengths,
            "latencies_from": "schedule",
            "warmup_s": settings.warmup_s,
            "objectives": settings.objectives,
            "good_requests": f.good,
            "cached_share": f.cached_share,
            "counting": f.counting,
            "unfinished": result.unfinished,
            "never_sent": result.never_sent,
            "generator": {
                "late": _times(f.lateness),
                "loop_late": _times(f.lag),
                "core_share": result.cpu_share,
                "connections": result.connections,
            },
        },
    }


def _one(unit: str, value: float) -> dict[str, Any]:
    return {"unit": unit, "avg": value}


def _times(found: Statistic) -> dict[str, Any]:
    return _of("ms", found, MILLI)


def _of(unit: str, found: Statistic, factor: float = 1.0) -> dict[str, Any]:
    shares = zip(PERCENTILES, found.percentiles, strict=True)
    return {
        "unit": unit, "avg": found.mean * factor, "min": found.least * factor, "max": found.most * factor,
        **{f"p{share}": value * factor for share, value in shares}, "std": found.std * factor, "count": found.count,
    }  # fmt: skip


def bench_csv(result: BenchResult) -> str:
    """A row per request, warm-up and failures among them; empty where something is not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(result))
    return out.getvalue()


def _rows(result: BenchResult) -> Iterator[list[Any]]:
    for a in result.answers:
        values = (
            a.at_s, a.input_asked if a.input_tokens is None else a.input_tokens, a.tokens,
            a.session if a.session >= 0 else None, a.ttft_s, a.tpot_s, np.nan if a.error else a.e2e_s,
            a.error or "finished", a.cached_tokens, a.chunks, a.input_asked, a.output_asked, a.sent_s - a.at_s,
        )  # fmt: skip
        yield [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else ""
    return "" if value is None else value
