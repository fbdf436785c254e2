"""Tokenworks: an AI factory in Python. ``load`` a factory file, ``run`` it, look at its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.api import Run, load, run

__all__ = ["Run", "load", "run"]


def __getattr__(name: str) -> Any:
    """Lazy: importing the package costs nothing until it is used."""
    if name in __all__:
        from tokenworks import api

        return getattr(api, name)
    raise AttributeError(f"module 'tokenworks' has no attribute {name!r}")
