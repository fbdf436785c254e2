"""Emulated workers as upstreams of a gateway, which looks at their metrics as it does at a real engine's."""

from __future__ import annotations

from collections.abc import Callable

from tokenworks.serve.upstreams.upstream import Upstream


def upstream_at(url: str, role: str | None) -> Upstream:
    """Of an emulated worker, wherever it runs. ``role``: of a worker of a pool."""
    return Upstream(url, metrics=_metrics(url), role=role)


class EmulatedUpstream(Upstream):
    """Of a worker in this process. ``turn``: switches its boards on or off."""

    def __init__(self, url: str, turn: Callable[[bool], None], role: str | None = None):
        super().__init__(url, metrics=_metrics(url), role=role)
        self.turn = turn


def _metrics(url: str) -> str:
    return f"{url}/metrics"
