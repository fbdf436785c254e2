"""What happened between two readings of a gateway's page: rates, latencies, money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenworks.serve.telemetry.samples import Samples

TTFT, TPOT = "gen_ai_server_time_to_first_token_seconds", "gen_ai_server_time_per_output_token_seconds"
TOKENS, ANSWERS, ACTIVE = "tokenworks_tokens_total", "tokenworks_requests_total", "tokenworks_active_requests"
UP, OUTSTANDING, WAITING = "tokenworks_upstream_up", "tokenworks_upstream_outstanding", "tokenworks_queue_length"
WATTS, USD_H, LOST = "tokenworks_upstream_power_watts", "tokenworks_usd_per_hour", "tokenworks_events_lost_total"
REPLICAS, BUDGET = "tokenworks_scaling_replicas", "tokenworks_scaling_budget_watts"
JOULES, SPEED = "tokenworks_upstream_energy_joules_total", "tokenworks_upstream_speed"


@dataclass(frozen=True)
class Reading:
    """A page and the second, by one clock, at which it came."""

    at_s: float
    page: Samples


@dataclass(frozen=True)
class Worker:
    """An upstream as its gateway sees it."""

    name: str
    up: bool
    outstanding: int
    watts: float | None


@dataclass(frozen=True)
class Steered:
    """Replicas of a service under a power budget."""

    wanted: int  # by the load
    granted: int  # of them, by the budget
    budget_w: float | None  # of all services; None: no limit now


@dataclass(frozen=True)
class ServiceNow:
    """Of one service over the window. None: nothing to tell it from."""

    name: str
    requests_s: float
    refused_s: float  # 4xx and 5xx, callers who left apart
    left_s: float
    input_tokens_s: float
    output_tokens_s: float
    active: int
    waiting: int | None
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tpot_p50_s: float | None
    tpot_p95_s: float | None
    watts: float | None
    joules: float | None  # of its workers' boards, since these count
    speed: float  # of emulated workers' time; 1: real ones
    workers: tuple[Worker, ...]
    steered: Steered | None = None  # None: no power budget limits its replicas


@dataclass(frozen=True)
class Now:
    """Of a gateway. ``seconds``: of the window; 0: the gateway has just begun, totals since then are not shown."""

    seconds: float
    services: tuple[ServiceNow, ...]
    lost: int  # events that the ledger did not take, since the gateway began
    usd_h: float | None  # of the factory's systems, without energy

    @property
    def output_tokens_s(self) -> float:
        return sum(s.output_tokens_s for s in self.services)

    @property
    def watts(self) -> float | None:
        known = [s.watts for s in self.services if s.watts is not None]
        return sum(known) if known else None

    @property
    def joules(self) -> float | None:
        known = [s.joules for s in self.services if s.joules is not None]
        return sum(known) if known else None

    @property
    def speed(self) -> float:
        """Of emulated time: watts and dollars per hour are by that clock, rates of tokens by the wall's."""
        return max((s.speed for s in self.services), default=1.0)

    @property
    def tokens_per_joule(self) -> float | None:
        return self.output_tokens_s / self.speed / self.watts if self.watts else None

    @property
    def usd_per_mtok(self) -> float | None:
        if self.usd_h is None or not self.output_tokens_s:
            return None
        return self.usd_h / (self.output_tokens_s / self.speed) / 3600 * 1e6


def now(before: Reading, after: Reading) -> Now:
    """What happened between two readings; a counter that is lower than before began anew (the gateway was restarted)."""
    seconds = after.at_s - before.at_s
    names = after.page.values(ACTIVE, "service")
    return Now(
        seconds,
        tuple(_service(name, before.page, after.page, seconds) for name in names),
        round(after.page.total(LOST) or 0),
        after.page.total(USD_H),
    )


def _service(name: str, before: Samples, after: Samples, seconds: float) -> ServiceNow:
    def rate(metric: str, **labels: str) -> float:
        return _grown(before, after, metric, {"service": name, **labels}) / seconds if seconds > 0 else 0.0

    statuses = {s for found, _ in after.having(ANSWERS, service=name) for s in (found["status"],)}
    refused = sum(rate(ANSWERS, status=s) for s in statuses if s != "499" and not s.startswith("2"))
    waiting = after.total(WAITING, service=name)
    (ttft50, ttft95), (tpot50, tpot95) = (_quantiles(before, after, metric, name) for metric in (TTFT, TPOT))
    return ServiceNow(
        name, rate(ANSWERS), refused, rate(ANSWERS, status="499"), rate(TOKENS, type="input"),
        rate(TOKENS, type="output"), round(after.total(ACTIVE, service=name) or 0),
        None if waiting is None else round(waiting), ttft50, ttft95, tpot50, tpot95,
        after.total(WATTS, service=name), after.total(JOULES, service=name),
        max((speed for _, speed in after.having(SPEED, service=name)), default=1.0), _workers(after, name),
        _steered(after, name),
    )  # fmt: skip


def _grown(before: Samples, after: Samples, metric: str, labels: dict[str, str]) -> float:
    was, is_now = before.total(metric, **labels) or 0.0, after.total(metric, **labels) or 0.0
    return is_now - was if is_now >= was else is_now


def _quantiles(before: Samples, after: Samples, metric: str, service: str) -> tuple[float | None, float | None]:
    """p50 and p95 of what a histogram took in between two pages."""
    edges = sorted((float(found["le"]), found["le"]) for found, _ in after.having(f"{metric}_bucket", service=service))
    counts = [_grown(before, after, f"{metric}_bucket", {"service": service, "le": text}) for _, text in edges]
    return quantile([e for e, _ in edges], counts, 0.5), quantile([e for e, _ in edges], counts, 0.95)


def quantile(edges: Sequence[float], cumulative: Sequence[float], share: float) -> float | None:
    """Of a histogram's cumulative counts, straight between the edges of a bucket; the last finite edge for what lies beyond
    it. As Prometheus' `histogram_quantile`.

    >>> quantile([1.0, 2.0, float("inf")], [0, 10, 10], 0.5)
    1.5
    """
    if not cumulative or cumulative[-1] <= 0:
        return None
    rank, low, below = share * cumulative[-1], 0.0, 0.0
    for edge, count in zip(edges, cumulative, strict=True):
        if count >= rank:
            return low if edge == float("inf") else low + (edge - low) * (rank - below) / max(1e-12, count - below)
        low, below = edge, count
    return low


def _steered(page: Samples, service: str) -> Steered | None:
    wanted, granted = (page.total(REPLICAS, service=service, kind=kind) for kind in ("wanted", "granted"))
    if wanted is None or granted is None:
        return None
    budgets = [watts for _, watts in page.having(BUDGET, service=service)]  # the same one on the line of each pool
    return Steered(round(wanted), round(granted), max(budgets, default=None))


def _workers(page: Samples, service: str) -> tuple[Worker, ...]:
    found = []
    for labels, up in page.having(UP, service=service):
        at = {"service": service, "upstream": labels["upstream"]}
        found.append(
            Worker(labels["upstream"], bool(up), round(page.total(OUTSTANDING, **at) or 0), page.total(WATTS, **at))
        )
    return tuple(found)
