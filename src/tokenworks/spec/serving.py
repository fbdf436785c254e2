"""How the factory takes live traffic: upstreams of its services, other names of its models, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tokenworks.spec.address import Address
from tokenworks.spec.fleet import FleetOf
from tokenworks.spec.limits import Bound, Budget, Rate, limit_findings
from tokenworks.spec.part import Name, Part, Port
from tokenworks.spec.pool_checks import pool_findings
from tokenworks.spec.quantities import Bytes, Wait
from tokenworks.spec.telemetry import Telemetry
from tokenworks.spec.traffic import Hedging, Queue, Split

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory

Requests = Annotated[int, Field(ge=0, le=1_000_000)]


def _endpoint(text: str) -> str:
    if not re.fullmatch(r"(tcp|ipc)://[!-~]+", text):
        raise ValueError(f"{text!r} is no ZeroMQ endpoint; write for example tcp://10.0.0.5:5557")
    return text


class Upstream(Part):
    """One engine behind the gateway, or a provider's API: whatever speaks OpenAI's dialect."""

    service: str = Field(description="whose requests it takes")
    url: Address = Field(description="with or without /v1 at its end")
    model: Name | None = Field(None, description="what it calls the model; none: what the caller wrote")
    key_env: Name | None = Field(None, description="environment variable that holds its key; none: no key")
    key_file: Name | None = Field(None, description="file that holds its key, read again as it changes")
    max_requests: Requests = Field(0, description="at a time; 0: no limit")
    continuous_usage: bool = Field(
        False,
        description="ask for usage in every chunk (vLLM, SGLang): calls that callers abandon are then metered exactly",
    )

    continues: bool = Field(
        False,
        description="goes on with an answer that another began (vLLM, SGLang, llama.cpp): streams survive a lost engine",
    )
    kv_tokens: int = Field(262_144, ge=1, le=10**10, description="that its KV cache holds, for kv-aware routing")
    metrics: Address | None = Field(
        None, description="its Prometheus page, whose loads routing then knows; none: not read"
    )
    kv_events: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description="where it publishes KV events (vLLM, SGLang), for kv-aware routing; none: not read"
    )

    dialect: Literal["openai", "anthropic"] = Field(
        "openai", description="whose API it speaks, and how it takes its key"
    )
    serves: tuple[Literal["responses", "messages"], ...] = Field(
        (),
        description="APIs that it has besides chat completions, of /v1/responses and Anthropic's /v1/messages; calls of others "
        "are translated to chat completions",
    )

    role: Literal["prefill", "decode"] | None = Field(
        None, description="its pool, of a service with prefill and decode workers; none: it does both"
    )
    handover: Literal["vllm", "sglang"] | None = Field(
        None, description="how its pools hand over the KV cache of a prompt; none: as the service's engine does"
    )
    bootstrap_port: Port = Field(
        8998, description="where decode engines meet it: SGLang's --disaggregation-bootstrap-port of a prefill engine"
    )

    @property
    def speaks(self) -> frozenset[str]:
        """What it serves itself, of chat, responses, messages."""
        return frozenset({"messages"}) if self.dialect == "anthropic" else frozenset({"chat", *self.serves})

    @model_validator(mode="after")
    def _of_anthropic(self) -> Upstream:
        if self.dialect == "anthropic" and (self.serves or self.continuous_usage):
            raise ValueError(
                "an upstream of Anthropic's dialect serves /v1/messages alone and tells its usage by itself"
            )
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Upstream:
        if self.key_env and self.key_file:
            raise ValueError("a key comes from key_env or from key_file, not from both")
        return self


class Serving(Part):
    """Live traffic."""

    upstreams: tuple[Upstream, ...] = Field((), description="engines that answer; none: only `serve --emulate`")
    aliases: dict[str, str] = Field({}, description="other names of services, e.g. gpt-4o: chat")
    fleets: tuple[FleetOf, ...] = Field((), description="who starts and stops replicas of services that are scaled")
    splits: dict[str, Split] = Field({}, description="names that several services share by weight, e.g. a canary")
    fallbacks: dict[str, tuple[str, ...]] = Field(
        {}, description="services that stand in for one that refuses, fails or is full, in order"
    )
    queue: Queue | None = Field(None, description="where requests wait for full upstreams; none: they are refused")
    hedge: Hedging | None = Field(None, description="second attempts of slow streams; none: never")
    look_s: Wait = Field(1.0, alias="look", description="between two looks at an upstream's metrics page")
    retries: int = Field(2, ge=0, le=10, description="other upstreams that are tried before the first byte")
    connect_s: Wait = Field(5.0, alias="connect", description="time to connect to an upstream")
    first_byte_s: Wait = Field(600.0, alias="first_byte", description="time until an upstream begins to answer")
    silence_s: Wait = Field(120.0, alias="silence", description="longest pause in the middle of an answer")
    body_bytes: Bytes = Field(16e6, alias="body", description="largest request")
    failures: int = Field(3, ge=1, le=1000, description="of an upstream in a row that open its circuit breaker")
    pause_s: Wait = Field(2.0, alias="pause", description="before it is tried again; doubles with every failed trial")
    limits: tuple[Rate, ...] = Field((), description="how fast callers may ask")
    budgets: tuple[Budget, ...] = Field((), description="what callers may spend")
    bounds: tuple[Bound, ...] = Field((), description="of a call's tokens, by service; budgets need them")
    price_plan: Name | None = Field(
        None,
        description="file of the price plan by which callers are told the cost of their calls and budgets count dollars",
    )
    drain_s: Wait = Field(30.0, alias="drain", description="time for requests in progress when the gateway stops")
    telemetry: Telemetry = Field(Telemetry(), description="OpenTelemetry, a log of calls")  # type: ignore[call-arg]
    admin: bool = Field(False, description="answer /admin, for keys of the scope admin")
    audit: Name | None = Field(None, description="file of admin actions; none: beside the key file")
    tls_cert: Name | None = Field(None, description="file of a certificate chain (PEM), read again as it changes")
    tls_key: Name | None = Field(None, description="file of its key (PEM)")

    @model_validator(mode="after")
    def _whole_certificate(self) -> Serving:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together")
        return self


def serving_findings(factory: Factory) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Names that do not fit."""
    names = [s.name for s in factory.services]
    known = f"known are {', '.join(names)}"
    for i, upstream in enumerate(factory.serve.upstreams):
        if upstream.service not in names:
            yield ("serve", "upstreams", i, "service"), f"no service {upstream.service!r}; {known}"
    for name in names:
        if len({u.dialect for u in factory.serve.upstreams if u.service == name}) > 1:
            yield (
                ("serve", "upstreams"),
                f"the upstreams of {name!r} speak one dialect, not two: make them two services",
            )
    for alias, service in factory.serve.aliases.items():
        if service not in names:
            yield ("serve", "aliases", alias), f"no service {service!r}; {known}"
        if alias in names:
            yield ("serve", "aliases", alias), "a service has this name already"
    yield from pool_findings(factory)
    yield from _split_findings(factory, names)
    yield from _fallback_findings(factory, names)


def _split_findings(factory: Factory, names: list[str]) -> Iterator[tuple[tuple[Any, ...], str]]:
    for name, split in factory.serve.splits.items():
        for service in split.weights:
            if service not in names:
                yield ("serve", "splits", name, "weights"), f"no service {service!r}; known are {', '.join(names)}"
        if not sum(split.weights.values()):
            yield ("serve", "splits", name, "weights"), "one weight at least is above 0"
        if name in names or name in factory.serve.aliases:
            yield ("serve", "splits", name), "a service or an alias has this name already"


def _fallback_findings(factory: Factory, names: list[str]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """A service that stands in gets calls that name another model, so its engines' name of theirs must be stated."""
    nameless = {u.service for u in factory.serve.upstreams if u.model is None}
    for name, others in factory.serve.fallbacks.items():
        place = ("serve", "fallbacks", name)
        if name not in names:
            yield place, f"no service {name!r}; known are {', '.join(names)}"
        for other in others:
            if other not in names or other == name:
                yield place, f"{other!r} is no other service; known are {', '.join(n for n in names if n != name)}"
            elif other in nameless:
                yield place, f"{other} stands in for others: state `model` for its upstreams"
    yield from limit_findings(factory)
