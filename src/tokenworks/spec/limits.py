"""How much callers may use: rates, budgets, and what bounds the tokens of a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tokenworks.spec.part import Name, Part
from tokenworks.spec.quantities import Money

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory

Many = Annotated[int, Field(ge=1, le=10**15)]
Joules = Annotated[int, Field(ge=1, le=10**12)]
Tokens = Annotated[int, Field(ge=0, le=10**9)]


class Whose(Part):
    """Calls of a tenant, of a key (its id), of a service; of all that are named, where none is of everybody."""

    tenant: Name | None = Field(None, description="only calls of this tenant")
    key: Name | None = Field(None, description="only calls with this key, by its id")
    service: Name | None = Field(None, description="only calls of this service")


class Rate(Whose):
    """How fast callers may ask. A bucket holds a minute's worth and fills evenly."""

    per: Literal["tenant", "key", "service"] | None = Field(None, description="each has its own; none: one for all")
    rpm: Many | None = Field(None, description="requests per minute")
    tpm: Many | None = Field(None, description="tokens per minute, counted at their bound until they are known")
    concurrency: Many | None = Field(None, description="calls at a time")

    @model_validator(mode="after")
    def _some(self) -> Rate:
        if self.rpm is None and self.tpm is None and self.concurrency is None:
            raise ValueError("a limit has rpm, tpm or concurrency")
        return self


class Budget(Whose):
    """What callers may spend, by reservation: never more, not by one token."""

    name: Name = Field(description="under which its spending is kept")
    per: Literal["tenant", "key", "run"] | None = Field(None, description="each has its own; none: one for all")
    usd: Money | None = Field(None, description="at the prices of serve.price_plan")
    tokens: Many | None = Field(None, description="of all kinds together")
    joules: Joules | None = Field(None, description="that emulated engines tell of their calls")
    window: Literal["total", "day", "month"] = Field("total", description="after which it begins anew, by UTC")

    @model_validator(mode="after")
    def _one_amount(self) -> Budget:
        if sum(amount is not None for amount in (self.usd, self.tokens, self.joules)) != 1:
            raise ValueError("a budget has usd, tokens or joules, one of them")
        if "|" in self.name:
            raise ValueError(f"{self.name!r} holds a |")
        return self


class Bound(Part):
    """What bounds the tokens of a call beyond the bytes of its text; what is not declared is bounded by the context."""

    service: Name = Field(description="whose calls")
    template_tokens: Tokens = Field(description="most that the chat template adds to a call of any length")
    context_tokens: Many | None = Field(None, description="longest context; none: the catalogue's of the model")
    tools_factor: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="most bytes that the template makes of one byte of a tool's JSON"
    )
    image_tokens: Tokens | None = Field(None, description="most for one image")
    audio_tokens: Tokens | None = Field(None, description="most for one recording")
    video_tokens: Tokens | None = Field(None, description="most for one video")
    file_tokens: Tokens | None = Field(None, description="most for one file")


Findings = Iterator[tuple[tuple[Any, ...], str]]


def limit_findings(factory: Factory) -> Findings:
    """Services that are not there, names that stand twice, dollars without prices."""
    serve, names = factory.serve, [s.name for s in factory.services]
    named: dict[str, list[str | None]] = {
        "limits": [limit.service for limit in serve.limits],
        "budgets": [budget.service for budget in serve.budgets],
        "bounds": [bound.service for bound in serve.bounds],
    }
    for kind, services in named.items():
        for i, service in enumerate(services):
            if service is not None and service not in names:
                yield ("serve", kind, i, "service"), f"no service {service!r}; known are {', '.join(names)}"
    yield from _twice("budgets", "name", [b.name for b in serve.budgets])
    yield from _twice("bounds", "service", [b.service for b in serve.bounds])
    for i, budget in enumerate(serve.budgets):
        if budget.usd is not None and serve.price_plan is None:
            yield ("serve", "budgets", i, "usd"), "dollars need prices: name a plan's file in serve.price_plan"


def _twice(kind: str, field: str, values: list[str]) -> Findings:
    for i, value in enumerate(values):
        if value in values[:i]:
            yield ("serve", kind, i, field), f"{value!r} stands twice"
