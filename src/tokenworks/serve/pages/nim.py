"""Pages that NVIDIA's NIM has and OpenAI's API has not: what is served, and under which licence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution

import msgspec

from tokenworks.serve.upstreams.served import Served


def manifest(factory: str, services: Sequence[Served]) -> bytes:
    """The services with their models; addresses and credentials of engines are nobody's matter."""
    profiles = [
        {"service": s.name, "model": s.model, "upstreams": len(s.router.upstreams), "speaks": sorted(s.speaks)}
        for s in services
    ]
    return msgspec.json.encode({"object": "manifest", "factory": factory, "profiles": profiles})


@cache
def licence() -> bytes:
    found = distribution("tokenworks")
    text = found.read_text("licenses/LICENSE") or ""
    name = found.metadata["License-Expression"]
    return msgspec.json.encode({"name": name, "type": "file", "size": len(text.encode()), "content": text})
