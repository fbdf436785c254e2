"""The factory file: typed, validated, immutable."""

from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import load, loads

__all__ = ["Factory", "load", "loads"]
