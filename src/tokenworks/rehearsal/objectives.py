"""Latency objectives of a service, held against what was measured."""

from __future__ import annotations

import math

from tokenworks.events.results import ServiceResult


def objectives(service: ServiceResult) -> list[tuple[str, float, float]]:
    """(name, measured p95, objective) of the latencies that have one."""
    pairs = [
        ("TTFT", service.ttft.p95_s, service.slo_ttft_s),
        ("TPOT", service.tpot.p95_s, service.slo_tpot_s),
    ]
    return [pair for pair in pairs if pair[2] > 0]


def missed(service: ServiceResult) -> list[str]:
    """Objectives that the measured latencies break."""
    return [name for name, measured, objective in objectives(service) if measured > objective]


def unknown(service: ServiceResult) -> bool:
    """No request of the service was measured, so nothing is known of its objectives."""
    return any(math.isnan(measured) for _, measured, _ in objectives(service))
