"""How the factory takes live traffic: upstreams of its services, other names of its models, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from tokenworks.spec.part import Name, Part
from tokenworks.spec.quantities import Bytes, Wait

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory

Requests = Annotated[int, Field(ge=0, le=1_000_000)]


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address; write for example http://10.0.0.5:8000")
    if parts.username or parts.password:
        raise ValueError("an address holds no user or password: name a variable in key_env or a file in key_file")
    if parts.query or parts.fragment:
        raise ValueError(f"{text!r}: an address ends before ? and #")
    return text


class Upstream(Part):
    """One engine behind the gateway, or a provider's API: whatever speaks OpenAI's dialect."""

    service: str = Field(description="whose requests it takes")
    url: Annotated[str, AfterValidator(_address)] = Field(description="with or without /v1 at its end")
    model: Name | None = Field(None, description="what it calls the model; none: what the caller wrote")
    key_env: Name | None = Field(None, description="environment variable that holds its key; none: no key")
    key_file: Name | None = Field(None, description="file that holds its key, read again as it changes")
    max_requests: Requests = Field(0, description="at a time; 0: no limit")
    continuous_usage: bool = Field(
        False,
        description="ask for usage in every chunk (vLLM, SGLang): calls that callers abandon are then metered exactly",
    )

    dialect: Literal["openai", "anthropic"] = Field(
        "openai", description="whose API it speaks, and how it takes its key"
    )
    serves: tuple[Literal["responses", "messages"], ...] = Field(
        (),
        description="APIs that it has besides chat completions, of /v1/responses and Anthropic's /v1/messages; calls of others "
        "are translated to chat completions",
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
    retries: int = Field(2, ge=0, le=10, description="other upstreams that are tried before the first byte")
    connect_s: Wait = Field(5.0, alias="connect", description="time to connect to an upstream")
    first_byte_s: Wait = Field(600.0, alias="first_byte", description="time until an upstream begins to answer")
    silence_s: Wait = Field(120.0, alias="silence", description="longest pause in the middle of an answer")
    body_bytes: Bytes = Field(16e6, alias="body", description="largest request")
    failures: int = Field(3, ge=1, le=1000, description="of an upstream in a row that open its circuit breaker")
    pause_s: Wait = Field(2.0, alias="pause", description="before it is tried again; doubles with every failed trial")
    drain_s: Wait = Field(30.0, alias="drain", description="time for requests in progress when the gateway stops")


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
