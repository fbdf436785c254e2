"""What the metrics page says of steering: the queue, second attempts, what engines say of themselves, power budgets."""

from __future__ import annotations

import math

from tokenworks.serve.telemetry.metrics import escaped
from tokenworks.serve.upstreams.engine_page import EngineState
from tokenworks.serve.upstreams.fed import Fed
from tokenworks.serve.upstreams.served import Served

HELP = {
    "tokenworks_queue_length": ("gauge", "Requests that wait for a place at full upstreams."),
    "tokenworks_hedges_total": ("counter", "Second attempts beside a slow first one; won: answered by them."),
    "tokenworks_upstream_elsewhere": ("gauge", "Requests of an engine that others than this gateway sent it."),
    "tokenworks_upstream_kv_used_ratio": ("gauge", "KV cache in use, as the engine says."),
    "tokenworks_upstream_power_watts": ("gauge", "Power of the GPUs on the upstream's metrics page."),
    "tokenworks_upstream_energy_joules_total": ("counter", "Energy of these GPUs, as the page has it."),
    "tokenworks_upstream_static_joules_total": ("counter", "Of it what an emulated worker's GPUs drew whatever they worked on."),
    "tokenworks_upstream_speed": ("gauge", "Emulated seconds in a second, of emulated workers."),
    "tokenworks_scaling_budget_watts": ("gauge", "Power that the boards of all services may draw until the next look."),
    "tokenworks_scaling_replica_watts": ("gauge", "Power that a replica is thought to draw at its load."),
    "tokenworks_scaling_replicas": ("gauge", "Replicas by the load (wanted), and of them those that may be up (granted)."),
    "tokenworks_scaling_held_total": ("counter", "Looks at which replicas were wanted and held back, by reason."),
}  # fmt: skip


def steering_lines(served: Served) -> dict[str, list[str]]:
    name = escaped(served.name)
    lines: dict[str, list[str]] = {}
    if served.queue:
        lines["tokenworks_queue_length"] = [f'tokenworks_queue_length{{service="{name}"}} {served.queue.length}']
    if served.hedging:
        counts = {"asked": served.hedging.hedged, "won": served.hedging.won}
        lines["tokenworks_hedges_total"] = [
            f'tokenworks_hedges_total{{service="{name}",outcome="{kind}"}} {count}' for kind, count in counts.items()
        ]
    for pool, fed in served.fed.items():
        for metric, found in _fed_lines(name, pool, fed).items():
            lines.setdefault(metric, []).extend(found)
    for number, (router, i) in enumerate(served.places):
        state = router.engines[i]
        if state is None:
            continue
        at = served.labels(number)
        for kind, value in _said(router.elsewhere[i], state).items():
            lines.setdefault(f"tokenworks_upstream_{kind}", []).append(f"tokenworks_upstream_{kind}{at} {value}")
    return lines


def _fed_lines(name: str, pool: str, fed: Fed) -> dict[str, list[str]]:
    """Of a pool that a power budget limits at some time of the day. No line for a limit that is not in force."""
    if not fed.replica_w:
        return {}
    label = f'service="{name}"' + (f',pool="{pool}"' if pool else "")
    lines = {
        "tokenworks_scaling_replica_watts": [f"tokenworks_scaling_replica_watts{{{label}}} {fed.replica_w:g}"],
        "tokenworks_scaling_replicas": [
            f'tokenworks_scaling_replicas{{{label},kind="{kind}"}} {count}'
            for kind, count in (("wanted", fed.wanted), ("granted", fed.granted))
        ],
        "tokenworks_scaling_held_total": [f'tokenworks_scaling_held_total{{{label},reason="power"}} {fed.held}'],
    }
    if math.isfinite(fed.budget_w):
        lines["tokenworks_scaling_budget_watts"] = [f"tokenworks_scaling_budget_watts{{{label}}} {fed.budget_w:g}"]
    return lines


def _said(elsewhere: int, state: EngineState) -> dict[str, str]:
    """By the engine itself. Counters are written in full: a rate is the difference of two large numbers."""
    gauges = {
        "elsewhere": elsewhere, "kv_used_ratio": state.kv_used, "power_watts": state.watts, "speed": state.speed,
    }  # fmt: skip
    totals = {"energy_joules_total": state.joules, "static_joules_total": state.static_joules}
    said = {kind: f"{value:g}" for kind, value in gauges.items() if value is not None}
    return said | {kind: f"{value:.3f}" for kind, value in totals.items() if value is not None}
