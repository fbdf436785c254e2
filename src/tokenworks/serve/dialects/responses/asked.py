"""A request of /v1/responses: the parts that chat completions can express. What is not here is refused by its name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

Tokens = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]


class _Part(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class InputText(_Part, tag="input_text"):
    text: str


class InputImage(_Part, tag="input_image"):
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(_Part, tag="input_file"):
    file_data: str
    filename: str = "document"


class OutputText(_Part, tag="output_text"):
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class RefusalPart(_Part, tag="refusal"):
    refusal: str


Content: TypeAlias = InputText | InputImage | InputFile | OutputText | RefusalPart


class MessageItem(_Part, tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class FunctionCall(_Part, tag="function_call"):
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(_Part, tag="function_call_output"):
    call_id: str
    output: str | list[InputText]
    id: str | None = None
    status: str | None = None


class ReasoningText(_Part, tag="reasoning_text"):
    text: str


class SummaryText(_Part, tag="summary_text"):
    text: str


class Reasoning(_Part, tag="reasoning"):
    summary: list[SummaryText] = []
    content: list[ReasoningText] | None = None
    id: str | None = None
    status: str | None = None
    encrypted_content: None = None


Item: TypeAlias = MessageItem | FunctionCall | FunctionCallOutput | Reasoning


class FunctionTool(_Part, tag="function"):
    name: str
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class NamedFunction(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    name: str


class PlainFormat(_Part, tag="text"):
    pass


class ObjectFormat(_Part, tag="json_object"):
    pass


class SchemaFormat(_Part, tag="json_schema"):
    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextWanted(msgspec.Struct, forbid_unknown_fields=True):
    format: PlainFormat | ObjectFormat | SchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningWanted(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    summary: Literal["auto"] | None = None  # what the engine shows; nothing here can sum it up


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None  # there is none


Include: TypeAlias = Literal[
    "message.output_text.logprobs", "reasoning.encrypted_content"
]  # the latter: where there is any


class ResponsesRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    text: TextWanted | None = None
    reasoning: ReasoningWanted | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    include: list[Include] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    truncation: Literal["disabled"] | None = None
    store: Literal[False] | None = None
    background: Literal[False] | None = None
    previous_response_id: None = None
    conversation: None = None
