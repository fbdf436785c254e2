"""The roadmap file as types: how a demand grows, and on what terms a fleet may follow it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema

from tokenworks.spec.part import MisfitError, Name, Part
from tokenworks.spec.quantities import Depreciation, Portion, Usd, Watts, parse

MONTHS = {"month": 1, "quarter": 3, "year": 12}
MONTHS_A_YEAR = 12
GROWTH = {"%/y": 0.01, "/y": 1.0}
DATE = re.compile(r"(\d{4})-(\d{2})")


def parse_month(text: Any) -> int:
    """Months since the year 0 of "2027-01". Raises ValueError."""
    match = DATE.fullmatch(str(text))
    if not match or not 1 <= int(match.group(2)) <= MONTHS_A_YEAR:
        raise ValueError(f"{text!r} is not a month; write for example '2027-01'")
    return int(match.group(1)) * MONTHS_A_YEAR + int(match.group(2)) - 1


def month_text(month: int) -> str:
    """
    >>> month_text(parse_month("2027-01"))
    '2027-01'
    """
    return f"{month // MONTHS_A_YEAR:04d}-{month % MONTHS_A_YEAR + 1:02d}"


def parse_change(text: Any) -> float:
    """Relative change a year of "60%/y" or "-15%/y". Raises ValueError."""
    falls = isinstance(text, str) and text.strip().startswith("-")
    value = parse(text.strip()[1:] if falls else text, GROWTH, "60%/y")
    if falls and value >= 1:
        raise ValueError(f"{text!r}: nothing is left after a year")
    if value > 20:
        raise ValueError(f"{text!r} is too much: at most 2000%/y")
    return -value if falls else value


Month = Annotated[
    int,
    BeforeValidator(parse_month),
    PlainSerializer(month_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["2027-01"]}),
]
Change = Annotated[
    float,
    BeforeValidator(parse_change),
    PlainSerializer(lambda value: f"{value * 100:.12g}%/y", return_type=str),
    WithJsonSchema({"type": "string", "examples": ["60%/y", "-15%/y"]}),
]
Multiple = Annotated[float, Field(ge=0, le=1e6)]


class Terms(Part):
    """What is known of one kind of system beside the catalogue."""

    since: Month | None = Field(None, alias="from", description="month of its first delivery; none: it can be had now")
    price_usd: Usd | None = Field(None, alias="price", description="of one system at the start; none: the catalogue's")
    price_change: Change = Field(0.0, description="of its price from year to year, e.g. -15%/y")


class Roadmap(Part):
    """A roadmap file."""

    name: Name = Field(alias="roadmap", description="its name")
    demand: str = Field(
        min_length=1, description="the demand file that grows, beside this one, or a shipped one's name"
    )
    given_start: Month | None = Field(
        None, alias="start", description="month in which it begins, e.g. 2027-01; none: now"
    )
    first_month: SkipJsonSchema[int] = Field(0, exclude=True)  # since the year 0
    period: Literal["month", "quarter", "year"] = Field("quarter", description="between two decisions")
    periods: int = Field(12, ge=1, le=60, description="how many")
    growth: dict[str, Change | tuple[Multiple, ...]] = Field(
        {},
        description="by service: a rate such as 60%/y, or multiples of the demand's rate, one a period; none: constant",
    )
    power_w: Watts | tuple[Watts, ...] | None = Field(
        None, alias="power", description="at the meter, for all time or by period; none: the site's budget"
    )
    budget_usd: Usd | tuple[Usd, ...] | None = Field(
        None, alias="budget", description="for systems in a period, the same for all or by period; none: no limit"
    )
    discount: Portion = Field(0.08, description="a year")
    life_s: Depreciation = Field(6 * 31_557_600.0, alias="life", description="after which a system must go, e.g. 6 y")
    resale: Portion = Field(1.0, description="of its book value that a system fetches")
    lead: int = Field(0, ge=0, le=24, description="periods from an order to delivery: nothing is bought before")
    pay: tuple[Literal["own", "rent"], ...] = Field((), description="buy, rent, or either; none: as the demand says")
    rent_term: int = Field(1, ge=1, le=60, description="periods of a rental contract")
    move_usd: Usd = Field(0.0, alias="move", description="for stopping one worker and placing it elsewhere")
    systems: dict[str, Terms] = Field({}, description="by catalogue id: delivery and price")
    source_file: SkipJsonSchema[str] = Field("", exclude=True)

    @model_validator(mode="after")
    def _lengths(self) -> Roadmap:
        findings = []
        series = {
            "power": self.power_w,
            "budget": self.budget_usd,
            **{f"growth.{k}": v for k, v in self.growth.items()},
        }
        for field, value in series.items():
            if isinstance(value, tuple) and len(value) != self.periods:
                findings.append((field, f"{len(value)} values for {self.periods} periods"))
        if findings:
            raise MisfitError(*findings)
        return self

    @property
    def months(self) -> int:
        """Of one period."""
        return MONTHS[self.period]

    def month_of(self, period: int) -> int:
        return self.first_month + period * self.months

    def years(self, period: float) -> float:
        """From the start to the start of a period."""
        return period * self.months / MONTHS_A_YEAR
