"""What the metrics page says of steering: the queue, second attempts, what engines say of themselves."""

from __future__ import annotations

from tokenworks.serve.metrics import escaped
from tokenworks.serve.served import Served

HELP = {
    "tokenworks_queue_length": ("gauge", "Requests that wait for a place at full upstreams."),
    "tokenworks_hedges_total": ("counter", "Second attempts beside a slow first one; won: answered by them."),
    "tokenworks_upstream_elsewhere": ("gauge", "Requests of an engine that others than this gateway sent it."),
    "tokenworks_upstream_kv_used_ratio": ("gauge", "KV cache in use, as the engine says."),
    "tokenworks_upstream_power_watts": ("gauge", "Power of the GPUs on the upstream's metrics page."),
}


def steering_lines(served: Served) -> dict[str, list[str]]:
    name, router = escaped(served.name), served.router
    lines: dict[str, list[str]] = {}
    if served.queue:
        lines["tokenworks_queue_length"] = [f'tokenworks_queue_length{{service="{name}"}} {served.queue.length}']
    if served.hedging:
        counts = {"asked": served.hedging.hedged, "won": served.hedging.won}
        lines["tokenworks_hedges_total"] = [
            f'tokenworks_hedges_total{{service="{name}",outcome="{kind}"}} {count}' for kind, count in counts.items()
        ]
    for i, state in enumerate(router.engines):
        if state is None:
            continue
        said = {"elsewhere": router.elsewhere[i], "kv_used_ratio": state.kv_used, "power_watts": state.watts}
        for kind, value in said.items():
            if value is not None:
                line = f'tokenworks_upstream_{kind}{{service="{name}",upstream="{i}"}} {value:g}'
                lines.setdefault(f"tokenworks_upstream_{kind}", []).append(line)
    return lines
