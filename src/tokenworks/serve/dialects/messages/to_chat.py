"""A request of /v1/messages as one of chat completions.

Told in other words, or not at all: ``cache_control`` (engines cache prefixes by themselves), ``is_error`` of a tool's result
(its text says it), the budget of ``thinking`` (it is within max_tokens anyway). An image in a tool's result follows it in a
message of the user, for chat completions take text alone from tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tokenworks.serve.dialects.messages.asked import (
    Base64,
    Block,
    Document,
    Image,
    Message,
    MessagesRequest,
    PlainText,
    Text,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tokenworks.serve.http.request import Refused

Json = dict[str, Any]
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
OTHER_NAMES = {"stop_sequences": "stop", "max_tokens": "max_tokens", "stream": "stream", "temperature": "temperature",
               "top_k": "top_k", "top_p": "top_p"}  # fmt: skip


def to_chat(asked: MessagesRequest) -> Json:
    """Raises Refused for an order of blocks that chat completions do not have."""
    said = [m for message in asked.messages for m in _messages(message)]
    chat: Json = {"model": asked.model, "messages": [*_system(asked.system), *said]}
    chat |= {new: value for old, new in OTHER_NAMES.items() if (value := getattr(asked, old)) is not None}
    if asked.tools:
        chat["tools"] = [_tool(t) for t in asked.tools]
    if asked.tool_choice:
        chat |= _choice(asked.tool_choice)
    if asked.metadata and asked.metadata.user_id:
        chat["user"] = asked.metadata.user_id
    if asked.thinking:
        chat["chat_template_kwargs"] = {"enable_thinking": asked.thinking.type != "disabled"}
    return chat | _output(asked)


def _output(asked: MessagesRequest) -> Json:
    out: Json = {}
    wanted = asked.output_config
    if wanted and wanted.effort:
        out["reasoning_effort"] = wanted.effort
    if wanted and wanted.format:
        named = {"name": "answer", "schema": wanted.format.schema, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": named}
    return out


def _system(system: str | list[Text] | None) -> list[Json]:
    text = system if isinstance(system, str) or system is None else "\n\n".join(block.text for block in system)
    return [{"role": "system", "content": text}] if text else []


def _messages(message: Message) -> Iterator[Json]:
    if isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
    elif message.role == "assistant":
        yield _assistant(message.content)
    else:
        yield from _user(message.content)


def _assistant(blocks: list[Block]) -> Json:
    out: Json = {"role": "assistant", "content": None}
    for block in blocks:
        if isinstance(block, Text):
            out["content"] = (out["content"] or "") + block.text
        elif isinstance(block, Thinking):
            out["reasoning_content"] = out.get("reasoning_content", "") + block.thinking
        elif isinstance(block, ToolUse):
            function = {"name": block.name, "arguments": msgspec.json.encode(block.input).decode()}
            out.setdefault("tool_calls", []).append({"id": block.id, "type": "function", "function": function})
        else:
            raise Refused(400, "content", f"messages: an assistant's message holds no {block.__struct_config__.tag}")
    return out


def _user(blocks: list[Block]) -> Iterator[Json]:
    """Results of tools come first, each a message of its own."""
    parts: list[Json] = []
    for block in blocks:
        if isinstance(block, ToolResult):
            if parts and not _is_of_tool(parts):
                raise Refused(400, "content", "messages: tool_result blocks come before the other blocks of a message")
            text, images = _result(block)
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}
            parts += images
        elif isinstance(block, ToolUse | Thinking):
            raise Refused(400, "content", f"messages: a user's message holds no {block.__struct_config__.tag}")
        else:
            parts.append(_part(block))
    if parts:
        yield {"role": "user", "content": parts[0]["text"] if len(parts) == 1 and "text" in parts[0] else parts}


def _is_of_tool(parts: list[Json]) -> bool:
    return all(part["type"] == "image_url" for part in parts)


def _result(block: ToolResult) -> tuple[str, list[Json]]:
    if block.content is None or isinstance(block.content, str):
        return block.content or "", []
    text = "\n".join(b.text for b in block.content if isinstance(b, Text))
    return text, [_part(b) for b in block.content if isinstance(b, Image)]


def _part(block: Text | Image | Document) -> Json:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Image):
        source = block.source
        return {"type": "image_url", "image_url": {"url": _data(source) if isinstance(source, Base64) else source.url}}
    if isinstance(block.source, PlainText):
        head = "\n".join(line for line in (block.title, block.context) if line)
        return {"type": "text", "text": f"{head}\n{block.source.data}" if head else block.source.data}
    return {"type": "file", "file": {"filename": block.title or "document", "file_data": _data(block.source)}}


def _data(source: Base64) -> str:
    return f"data:{source.media_type};base64,{source.data}"


def _tool(tool: Any) -> Json:
    function = {"name": tool.name, "parameters": tool.input_schema}
    function |= {key: value for key in ("description", "strict") if (value := getattr(tool, key)) is not None}
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> Json:
    out: Json = {}
    if choice.disable_parallel_tool_use is not None:
        out["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    if choice.type != "tool":
        return {"tool_choice": CHOICES[choice.type], **out}
    if not choice.name:
        raise Refused(400, "tool_choice", 'tool_choice: {"type": "tool"} needs a name')
    return {"tool_choice": {"type": "function", "function": {"name": choice.name}}, **out}
