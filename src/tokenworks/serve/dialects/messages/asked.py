"""A request of /v1/messages: the parts that chat completions can express. What is not here is refused by its name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

Cache = dict[str, Any] | None  # cache_control: engines cache prefixes by themselves
Tokens = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
NonNegative = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Part(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class Text(_Part, tag="text"):
    text: str
    cache_control: Cache = None
    citations: list[Any] | None = None


class Base64(_Part, tag="base64"):
    media_type: str
    data: str


class Url(_Part, tag="url"):
    url: str


class PlainText(_Part, tag="text"):
    data: str
    media_type: Literal["text/plain"] = "text/plain"


class Image(_Part, tag="image"):
    source: Base64 | Url
    cache_control: Cache = None


class Document(_Part, tag="document"):
    source: PlainText | Base64
    title: str | None = None
    context: str | None = None
    cache_control: Cache = None


class ToolUse(_Part, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]
    cache_control: Cache = None


class ToolResult(_Part, tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image] | None = None
    is_error: bool | None = None
    cache_control: Cache = None


class Thinking(_Part, tag="thinking"):
    thinking: str
    signature: str = ""


Block: TypeAlias = Text | Image | Document | ToolUse | ToolResult | Thinking


class Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str | list[Block]


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: Cache = None


class ToolChoice(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingWanted(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: NonNegative | None = None
    display: str | None = None


class Format(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, forbid_unknown_fields=True):
    format: Format | None = None
    effort: str | None = None


class Metadata(msgspec.Struct):
    user_id: str | None = None


class MessagesRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    messages: list[Message]
    max_tokens: Tokens
    system: str | list[Text] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: Share | None = None
    top_k: NonNegative | None = None
    top_p: Share | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingWanted | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: Cache = None
