"""A request of /v1/responses as one of chat completions.

Reasoning items that hold text go on as ``reasoning_content`` of the message that they led to; a summary is not what the model
thought and stays behind.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.dialects.responses.asked import (
    Content,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputText,
    Item,
    MessageItem,
    NamedFunction,
    ObjectFormat,
    OutputText,
    Reasoning,
    RefusalPart,
    ResponsesRequest,
    SchemaFormat,
)
from tokenworks.serve.http.request import Refused

Json = dict[str, Any]
SAME = ("stream", "temperature", "top_p", "parallel_tool_calls", "user")


def to_chat(asked: ResponsesRequest) -> Json:
    """Raises Refused for items that chat completions do not have."""
    said: list[Json] = [{"role": "system", "content": asked.instructions}] if asked.instructions else []
    if isinstance(asked.input, str):
        said.append({"role": "user", "content": asked.input})
    else:
        for number, item in enumerate(asked.input):
            _add(said, _item(number, item))
    if said and said[-1].get("role") is None:
        said.pop()  # reasoning that led to nothing
    chat: Json = {"model": asked.model, "messages": said}
    chat |= {name: value for name in SAME if (value := getattr(asked, name)) is not None}
    if asked.max_output_tokens is not None:
        chat["max_tokens"] = asked.max_output_tokens  # the name that every engine knows
    return chat | _tools(asked) | _form(asked)


def _item(number: int, item: Json) -> Item:
    try:
        found: Item = msgspec.convert({"type": "message", **item}, Item)
    except NOT_JSON as error:
        what = f"input[{number}] cannot be put into chat completions: {error}"
        raise Refused(400, "invalid_request", what, param="input") from None
    return found


def _add(said: list[Json], item: Item) -> None:
    """Calls of tools and reasoning belong to the assistant's message beside them."""
    if isinstance(item, FunctionCallOutput):
        text = item.output if isinstance(item.output, str) else "\n".join(part.text for part in item.output)
        said.append({"role": "tool", "tool_call_id": item.call_id, "content": text})
    elif isinstance(item, Reasoning):
        thought = "\n".join(part.text for part in item.content or ())
        if thought:
            said.append({"reasoning_content": thought})
    elif isinstance(item, FunctionCall):
        function = {"name": item.name, "arguments": item.arguments}
        call = {"id": item.call_id, "type": "function", "function": function}
        _assistant(said).setdefault("tool_calls", []).append(call)
    elif item.role == "assistant":
        _say(said, item)
    else:
        role = "system" if item.role == "developer" else item.role
        said.append({"role": role, "content": _content(item.content)})


def _assistant(said: list[Json]) -> Json:
    """The assistant's message at the end; a new one where there is none."""
    if not said or said[-1].get("role") not in ("assistant", None):
        said.append({})
    said[-1] = {"role": "assistant", "content": None} | said[-1]
    return said[-1]


def _say(said: list[Json], item: MessageItem) -> None:
    if said and said[-1].get("role") == "assistant":
        said.append({})  # two messages stay two
    message = _assistant(said)
    if isinstance(item.content, str):
        message["content"] = item.content
        return
    message["content"] = "".join(part.text for part in item.content if isinstance(part, OutputText | InputText)) or None
    refused = "".join(part.refusal for part in item.content if isinstance(part, RefusalPart))
    if refused:
        message["refusal"] = refused


def _content(content: str | list[Content]) -> Any:
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    return parts[0]["text"] if len(parts) == 1 and "text" in parts[0] else parts


def _part(part: Content) -> Json:
    if isinstance(part, InputImage):
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
    if isinstance(part, InputFile):
        return {"type": "file", "file": {"filename": part.filename, "file_data": part.file_data}}
    return {"type": "text", "text": part.refusal if isinstance(part, RefusalPart) else part.text}


def _tools(asked: ResponsesRequest) -> Json:
    out: Json = {}
    if asked.tools:
        out["tools"] = [{"type": "function", "function": _function(tool)} for tool in asked.tools]
    choice = asked.tool_choice
    if isinstance(choice, NamedFunction):
        out["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice:
        out["tool_choice"] = choice
    return out


def _function(tool: Any) -> Json:
    names = ("name", "description", "parameters", "strict")
    return {name: value for name in names if (value := getattr(tool, name)) is not None}


def _form(asked: ResponsesRequest) -> Json:
    """Of the answer: structure, verbosity, effort, log probabilities."""
    out: Json = {}
    form = asked.text.format if asked.text else None
    if isinstance(form, ObjectFormat):
        out["response_format"] = {"type": "json_object"}
    elif isinstance(form, SchemaFormat):
        names = ("name", "schema", "description", "strict")
        schema = {name: value for name in names if (value := getattr(form, name)) is not None}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    if asked.text and asked.text.verbosity:
        out["verbosity"] = asked.text.verbosity
    if asked.reasoning and asked.reasoning.effort:
        out["reasoning_effort"] = asked.reasoning.effort
    if asked.top_logprobs or "message.output_text.logprobs" in (asked.include or ()):
        out |= {"logprobs": True, "top_logprobs": asked.top_logprobs or 0}
    return out
