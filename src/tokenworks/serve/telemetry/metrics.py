"""Counters and histograms of the gateway, as a Prometheus page. Names are OpenTelemetry's where it has one."""

from __future__ import annotations

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0)
PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts by upper edge, in seconds."""

    def __init__(self, edges: tuple[float, ...]):
        self.edges, self.counts, self.sum = edges, [0] * (len(edges) + 1), 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        lines, total = [], 0
        for edge, count in zip((*map(str, self.edges), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{labels},le="{edge}"}} {total}')
        return [*lines, f"{name}_sum{{{labels}}} {self.sum:.6f}", f"{name}_count{{{labels}}} {total}"]


class ServiceMetrics:
    """Of one service."""

    def __init__(self) -> None:
        self.answers: dict[int, int] = {}  # by status; 499: the caller left
        self.retries = 0
        self.tokens = {"input": 0, "output": 0}
        self.active = 0
        self.ttft = Histogram(SECONDS)
        self.tpot = Histogram(PER_TOKEN)
        self.duration = Histogram(SECONDS)

    def answered(self, status: int) -> None:
        self.answers[status] = self.answers.get(status, 0) + 1


HELP = {
    "gen_ai_server_request_duration_seconds": ("histogram", "From the request to the end of its answer."),
    "gen_ai_server_time_to_first_token_seconds": (
        "histogram",
        "From the request to the first piece of a streamed answer.",
    ),
    "gen_ai_server_time_per_output_token_seconds": ("histogram", "Of streamed answers, after the first piece."),
    "tokenworks_tokens_total": ("counter", "Tokens metered, by direction."),
    "tokenworks_requests_total": ("counter", "Answers by status; 499: the caller left."),
    "tokenworks_retries_total": ("counter", "Attempts after the first."),
    "tokenworks_active_requests": ("gauge", "Requests in progress."),
    "tokenworks_upstream_up": ("gauge", "0 while the circuit breaker is open."),
    "tokenworks_upstream_outstanding": ("gauge", "Requests that an upstream works on."),
    "tokenworks_events_lost_total": ("counter", "Events that the ledger did not take."),
    "tokenworks_usd_per_hour": ("gauge", "Planned dollars of the factory's systems, energy apart."),
    "process_cpu_seconds_total": ("counter", "Processor time, user and system."),
    "process_resident_memory_bytes": ("gauge", "Resident memory."),
    "process_open_fds": ("gauge", "Open files and sockets."),
    "process_start_time_seconds": ("gauge", "Start, seconds since 1970."),
}
STARTED_S = time.time()


def process_lines() -> dict[str, list[str]]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if os.path.exists("/proc/self/statm") else 0
    files = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    found = {
        "process_cpu_seconds_total": f"{used.ru_utime + used.ru_stime:.3f}",
        "process_resident_memory_bytes": str(pages * os.sysconf("SC_PAGE_SIZE")),
        "process_open_fds": str(files),
        "process_start_time_seconds": f"{STARTED_S:.3f}",
    }
    return {name: [f"{name} {value}"] for name, value in found.items()}


def service_lines(name: str, of: ServiceMetrics) -> dict[str, list[str]]:
    label = f'service="{escaped(name)}"'
    return {
        "gen_ai_server_request_duration_seconds": of.duration.lines("gen_ai_server_request_duration_seconds", label),
        "gen_ai_server_time_to_first_token_seconds": of.ttft.lines("gen_ai_server_time_to_first_token_seconds", label),
        "gen_ai_server_time_per_output_token_seconds": of.tpot.lines("gen_ai_server_time_per_output_token_seconds", label),
        "tokenworks_tokens_total": [
            f'tokenworks_tokens_total{{{label},type="{kind}"}} {count}' for kind, count in of.tokens.items()
        ],
        "tokenworks_requests_total": [
            f'tokenworks_requests_total{{{label},status="{status}"}} {count}'
            for status, count in sorted(of.answers.items())
        ],
        "tokenworks_retries_total": [f"tokenworks_retries_total{{{label}}} {of.retries}"],
        "tokenworks_active_requests": [f"tokenworks_active_requests{{{label}}} {of.active}"],
    }  # fmt: skip


def page(parts: list[dict[str, list[str]]], more: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """The page: each name once, with its help, and all its lines. ``more``: names beyond those of this file."""
    out: list[str] = []
    for name, (kind, text) in (HELP | dict(more or {})).items():
        lines = [line for part in parts for line in part.get(name, ())]
        if lines:
            out += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines]
    return ("\n".join(out) + "\n").encode()


def upstream_labels(service: str, number: int, pool: str = "") -> str:
    """``number``: its place in the list of the file; where the service has pools, prefill upstreams are counted first."""
    of_pool = f',pool="{pool}"' if pool else ""
    return f'{{service="{escaped(service)}",upstream="{number}"{of_pool}}}'


def escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
