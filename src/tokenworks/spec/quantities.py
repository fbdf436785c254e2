"""Quantities as people write them ("1 MW", "25 ms", "70%") parsed into SI floats."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

NUMBER = r"[-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PATTERN = re.compile(rf"^\s*\$?\s*({NUMBER})\s*(.*?)\s*$")
_GROUPED = re.compile(r"\d{1,3}(,\d{3}){2,}(\.\d*)?|\d{1,3}(,\d{3})+\.\d*")  # commas that can only be thousands

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
    _no_decimal_comma(match.group(1), unit)
    if unit not in units:
        known = ", ".join(repr(u) for u in units if u)
        raise ValueError(f"unknown unit {unit!r} in {text!r}; known are {known}")
    return _finite(float(re.sub("[_,]", "", match.group(1))) * units[unit], text)


def _no_decimal_comma(number: str, unit: str) -> None:
    """Half of the world writes 1,5 for what the other half writes 1.5, and 1,500 for either: no guess is made."""
    if "," not in number or _GROUPED.fullmatch(number.lstrip("+-").split("e")[0].split("E")[0]):
        return
    point, plain = (f"{text} {unit}".rstrip() for text in (number.replace(",", ".", 1), number.replace(",", "")))
    whole = f" or {plain}" if re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", number) else ""
    raise ValueError(f"{number!r} has a comma: write {point}{whole}")


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
    """A temperature that there is outside: the one quantity that may be negative."""
    below = isinstance(text, str) and text.strip().startswith("-")
    value = parse(text.strip()[1:] if below else abs(text) if isinstance(text, int | float) else text, CELSIUS, "-5 C")
    degrees = -value if below or (isinstance(text, int | float) and text < 0) else value
    if not COLDEST_C <= degrees <= HOTTEST_C:
        raise ValueError(f"{text!r} is no temperature of a place: {COLDEST_C:g} C to {HOTTEST_C:g} C")
    return degrees


def bounded(units: Mapping[str, float], example: str, most: str, least: str = "") -> Callable[[Any], float]:
    """Reads a quantity that is neither above ``most`` nor below ``least``. Raises ValueError."""
    top, bottom = parse(most, units, example), parse(least, units, example) if least else 0.0

    def read(text: Any) -> float:
        value = parse(text, units, example)
        if value > top:
            raise ValueError(f"{text!r} is too much: at most {most}")
        if value < bottom:
            raise ValueError(f"{text!r} is too little: at least {least}")
        return value

    return read


def quantity(
    units: Mapping[str, float], example: str, write: Callable[[float], str], most: str, least: str = ""
) -> Any:
    """A pydantic type: parsed from text within its bounds, written back as text."""
    schema = {"type": ["string", "number"], "examples": [example], "$comment": f"{least or 0} to {most}"}
    return Annotated[
        float,
        BeforeValidator(bounded(units, example, most, least)),
        PlainSerializer(write, return_type=str),
        WithJsonSchema(schema),
    ]


def _writer(unit: str, factor: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{value / factor:.12g}{unit}"


def seconds(example: str, most: str, least: str = "") -> Any:
    """Times up to a bound."""
    return quantity(SECONDS, example, _writer(" s"), most, least)


COLDEST_C, HOTTEST_C = -90.0, 60.0  # a little beyond what was ever measured outside
Watts = quantity(WATTS, "120 kW", _writer(" W"), most="100 GW")
Seconds = seconds(
    "1 min", most="2 y"
)  # with every sum of them, time stays within 63 bits of 10 ps, which are 2.9 years
Patience = seconds("30 s", most="7 d")  # of callers
Wait = seconds("10 s", most="1 d", least="10 ms")  # of a gateway for an engine
Objective = seconds("25 ms", most="7 d", least="1 us")
Pause = seconds("10 s", most="1 d")  # of callers between requests, in the mean
Dwell = seconds("30 s", most="30 d", least="100 ms")  # shorter states would be drawn for ever
Offset = seconds("2 h", most="180 d")
Horizon = seconds("10 min", most="2 y", least="1 s")
Look = seconds("15 s", most="1 h", least="100 ms")  # between two looks of an autoscaler
ControlInterval = seconds("1 s", most="1 h", least="1 ms")
Depreciation = seconds("4 y", most="50 y", least="30 d")
Bytes = quantity(BYTES, "2 TB", _writer(" GB", 1e9), most="1000 PB", least="1 MB")
BytesPerSecond = quantity(BYTES_S, "50 GB/s", _writer(" GB/s", 1e9), most="1000 TB/s", least="1 MB/s")
Share = quantity(SHARE, "70%", _writer(""), most="1000%")
Portion = quantity(SHARE, "70%", _writer(""), most="100%")
SomePortion = quantity(SHARE, "70%", _writer(""), most="100%", least="1%")
Efficiency = quantity(SHARE, "97%", _writer(""), most="100%", least="50%")
UsdKwMonth = quantity(USD_KW_MONTH, "$130/kW-month", _writer("/kW-month"), most="$100000/kW-month")
UsdGpuHour = quantity(USD_GPU_H, "$2.50/GPU-h", _writer("/GPU-h"), most="$10000/GPU-h")
Usd = quantity(USD, "$3 M", _writer(""), most="$1000 B")
Money = quantity(  # of a budget: the most that 63 bits of 10⁻¹² dollars hold
    {unit: USD[unit] for unit in ("", "k", "M")}, "$500", _writer(""), most="$9 M", least="$0.000001"
)
usd_kwh = bounded(USD_KWH, "$0.07/kWh", most="$100/kWh")
Celsius = Annotated[
    float,
    BeforeValidator(signed),
    PlainSerializer(_writer(" C"), return_type=str),
    WithJsonSchema({"type": ["string", "number"], "examples": ["-5 C"], "minimum": COLDEST_C, "maximum": HOTTEST_C}),
]
