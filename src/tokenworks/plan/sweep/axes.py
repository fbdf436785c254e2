"""What a sweep varies: one field with its values, or with a range that samples are drawn from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from tokenworks.errors import InputError
from tokenworks.spec.values import split, value_of

_NUMBER = r"(?P<{0}_pre>\$?)(?P<{0}>\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)(?P<{0}_post>[^.\d].*?|)"
_RANGE = re.compile(rf"{_NUMBER.format('low')}\s*\.\.\s*{_NUMBER.format('high')}")
_LOG = " log"
EXAMPLE = "--over services.chat.tp=1,2,4 or, with --sample N, --over run.seed=1..100"


@dataclass(frozen=True)
class Span:
    """A range of numbers with what stands around them. Whole where both ends are."""

    low: float
    high: float
    before: str
    after: str
    whole: bool
    log: bool

    def at(self, share: float) -> str:
        """The value at a share (0 to 1, without 1) of the range, as text.

        >>> Span(1, 4, "", "", True, False).at(0.99), Span(0.5, 1.5, "$", "/GPU-h", False, False).at(0.5)
        ('4', '$1/GPU-h')
        """
        if self.whole and not self.log:
            return f"{self.before}{math.floor(self.low + share * (self.high - self.low + 1))}{self.after}"
        if self.log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return f"{self.before}{round(value) if self.whole else format(value, '.6g')}{self.after}"


@dataclass(frozen=True)
class Axis:
    """A field and what it takes: ``values`` as written, or a ``span``."""

    path: str
    values: tuple[str, ...] = ()
    span: Span | None = None

    def at(self, share: float) -> str:
        """What stands at a share (0 to 1, without 1) of the axis."""
        return self.span.at(share) if self.span else self.values[int(share * len(self.values))]


def axis(text: str) -> Axis:
    """An axis from PATH=V1,V2 or PATH=LOW..HIGH [log]. Raises InputError."""
    path, _, said = (part.strip() for part in text.partition("="))
    if not path or not said:
        raise InputError(f"--over {text}: write a path and its values, for example {EXAMPLE}")
    found = _RANGE.fullmatch(said.removesuffix(_LOG).strip())
    if found:
        return Axis(path, span=_span(found, text, said.endswith(_LOG)))
    values = tuple(split(said))
    if "" in values:
        raise InputError(f"--over {text}: a value is empty; write null for nothing")
    for value in values:
        value_of(value)
    twice = next((v for v in values if values.count(v) > 1), None)
    if twice is not None:
        raise InputError(f"--over {text}: {twice} stands twice")
    return Axis(path, values)


def _span(found: re.Match[str], text: str, log: bool) -> Span:
    low, high, after = float(found["low"]), float(found["high"]), found["high_post"]
    if not after.startswith(found["low_post"]):
        raise InputError(f"--over {text}: {found['low_post']!r} and {after!r}; write both ends in the same unit")
    if not low < high:
        raise InputError(f"--over {text}: the range is empty; write the lower end first")
    if log and low <= 0:
        raise InputError(f"--over {text}: a logarithmic range begins above 0")
    whole = all(re.fullmatch(r"\d+", found[end]) for end in ("low", "high"))
    # "1 kW..3 kW": the gap belongs to the unit; "$" stands before the number
    return Span(low, high, found["low_pre"] or found["high_pre"], after, whole and not after.strip(), log)
