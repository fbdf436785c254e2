"""Clock levels as fields have them: shares of the boost clock that the catalogue knows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from tokenworks import catalog
from tokenworks.spec.quantities import SHARE, quantity


def known_levels() -> tuple[float, ...]:
    """Shares of the boost clock, fastest first."""
    return tuple(float(share) for share in catalog.load("clocks", "default")["clock_share"])


def level(share: float) -> float:
    """The share, if it is a level. Raises ValueError that names the nearest.

    >>> level(0.85)
    Traceback (most recent call last):
    ValueError: there is no clock level of 85%; nearest is 88% (100%, 88%, 76%, 64% and 52% are known)
    """
    known = known_levels()
    if share in known:
        return share
    near = min(known, key=lambda one: abs(one - share))
    said = f"{', '.join(f'{one:.0%}' for one in known[:-1])} and {known[-1]:.0%}"
    raise ValueError(f"there is no clock level of {share * 100:.4g}%; nearest is {near:.0%} ({said} are known)")


def _text(share: float) -> str:
    return f"{share * 100:.12g}%"


Clock: Any = Annotated[quantity(SHARE, "88%", _text, most="100%", least="1%"), AfterValidator(level)]
