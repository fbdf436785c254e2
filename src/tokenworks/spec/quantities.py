"""Quantities as people write them ("1 MW", "25 ms", "70%") parsed into SI floats."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

NUMBER = r"[-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PATTERN = re.compile(rf"^\s*\$?\s*({NUMBER})\s*(.*?)\s*$")

WATTS = {"W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9}
SECONDS = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31_557_600.0,
}  # fmt: skip
BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15, "GiB": 2.0**30, "TiB": 2.0**40}
BYTES_S = {"MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12}
SHARE = {"%": 0.01, "": 1.0}
USD_KWH = {"/kWh": 1.0, "/MWh": 1e-3, "": 1.0}
USD_KW_MONTH = {"/kW-month": 1.0, "": 1.0}
USD_GPU_H = {"/GPU-h": 1.0, "/h": 1.0, "": 1.0}
USD = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
CELSIUS = {"C": 1.0, "°C": 1.0, "": 1.0}


def parse(text: Any, units: Mapping[str, float], example: str) -> float:
    """The value in SI units. Raises ValueError that says what is expected."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"expected a quantity such as {example!r}, not {text!r}")
    if isinstance(text, int | float):
        return _plain(float(text), units, example)
    match = _PATTERN.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a quantity; write for example {example!r}")
    unit = match.group(2)
    if unit not in units:
        known = ", ".join(repr(u) for u in units if u)
        raise ValueError(f"unknown unit {unit!r} in {text!r}; known are {known}")
    return _finite(float(re.sub("[_,]", "", match.group(1))) * units[unit], text)


def _plain(value: float, units: Mapping[str, float], example: str) -> float:
    _finite(value, value)
    if "" not in units and value != 0:
        raise ValueError(f"{value:g} has no unit; write for example {example!r}")
    return value * units.get("", 1.0)


def _finite(value: float, text: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    if value < 0:
        raise ValueError(f"{text!r} is negative")
    return value


def signed(text: Any) -> float:
    """A temperature: the one quantity that may be negative."""
    below = isinstance(text, str) and text.strip().startswith("-")
    value = parse(text.strip()[1:] if below else abs(text) if isinstance(text, int | float) else text, CELSIUS, "-5 C")
    return -value if below or (isinstance(text, int | float) and text < 0) else value


def quantity(units: Mapping[str, float], example: str, write: Callable[[float], str]) -> Any:
    """A pydantic type: parsed from text, written back as text."""
    return Annotated[
        float,
        BeforeValidator(lambda text: parse(text, units, example)),
        PlainSerializer(write, return_type=str),
        WithJsonSchema({"type": ["string", "number"], "examples": [example]}),
    ]


def _writer(unit: str, factor: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{value / factor:.12g}{unit}"


Watts = quantity(WATTS, "120 kW", _writer(" W"))
Seconds = quantity(SECONDS, "25 ms", _writer(" s"))
Bytes = quantity(BYTES, "2 TB", _writer(" GB", 1e9))
BytesPerSecond = quantity(BYTES_S, "50 GB/s", _writer(" GB/s", 1e9))
Share = quantity(SHARE, "70%", _writer(""))
UsdKwh = quantity(USD_KWH, "$0.07/kWh", _writer("/kWh"))
UsdKwMonth = quantity(USD_KW_MONTH, "$130/kW-month", _writer("/kW-month"))
UsdGpuHour = quantity(USD_GPU_H, "$2.50/GPU-h", _writer("/GPU-h"))
Usd = quantity(USD, "$3 M", _writer(""))
Celsius = Annotated[
    float,
    BeforeValidator(signed),
    PlainSerializer(_writer(" C"), return_type=str),
    WithJsonSchema({"type": ["string", "number"], "examples": ["-5 C"]}),
]
