"""Emulated workers as upstreams of a gateway, which looks at their metrics as it does at a real engine's."""

from __future__ import annotations

from tokenworks.serve.upstream import Upstream


def upstream_at(url: str) -> Upstream:
    return Upstream(url, metrics=f"{url}/metrics")
