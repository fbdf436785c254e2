"""Times of the day and daily curves as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from tokenworks.spec.quantities import usd_kwh

DAY_S = 86_400.0
MOST_G_KWH = 10_000.0  # of carbon; the dirtiest grids emit a tenth
_CLOCK = re.compile(r"^([01]?\d|2[0-4]):([0-5]\d)$")


def time_of_day(text: Any) -> float:
    """Seconds after midnight of "17:30"; "24:00" is the end of the day. Raises ValueError."""
    match = _CLOCK.match(text.strip()) if isinstance(text, str) else None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 if match else DAY_S + 1
    if seconds > DAY_S:
        raise ValueError(f"{text!r} is not a time of day; write for example '17:30'")
    return float(seconds)


def clock(seconds: float) -> str:
    """The time of the day, to the minute.

    >>> clock(63_000.0), clock(86_400.0)
    ('17:30', '24:00')
    """
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}"


def daily(one: Callable[[Any], float], write: Callable[[float], Any], example: Any) -> Any:
    """A pydantic type: 24 hourly values from midnight, or one value for all hours."""

    def parsed(given: Any) -> tuple[float, ...]:
        if not isinstance(given, list | tuple):
            return (one(given),) * 24
        if len(given) != 24:
            raise ValueError(f"a daily curve has one value or 24, from midnight; here are {len(given)}")
        return tuple(one(value) for value in given)

    def written(values: tuple[float, ...]) -> Any:
        return write(values[0]) if len(set(values)) == 1 else [write(value) for value in values]

    value = {"type": ["string", "number"], "examples": [example]}
    curve = {"type": "array", "items": value, "minItems": 24, "maxItems": 24}
    return Annotated[
        tuple[float, ...],
        BeforeValidator(parsed),
        PlainSerializer(written),
        WithJsonSchema({"anyOf": [value, curve]}),
    ]


def grams_kwh(value: Any) -> float:
    """Grams per kWh as a plain number. Raises ValueError for text, NaN, infinity and what is out of bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a finite number of at least 0")
    if value > MOST_G_KWH:
        raise ValueError(f"{value!r} g/kWh is too much: at most {MOST_G_KWH:,.0f}")
    return float(value)


TimeOfDay = Annotated[
    float,
    BeforeValidator(time_of_day),
    PlainSerializer(clock, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _CLOCK.pattern, "examples": ["17:30"]}),
]
UsdKwhByHour = daily(usd_kwh, lambda usd: f"{usd:.12g}/kWh", "$0.07/kWh")
GramsKwhByHour = daily(grams_kwh, lambda grams: grams, 380)
