"""What no caller may ask an upstream of Anthropic's dialect for: things that it keeps under the gateway's key, which all
tenants share, and tools that run there, which no token pays."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.http.request import Refused

CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_")  # that the caller runs
KEPT = ("container", "mcp_servers")


class _Message(msgspec.Struct):
    content: Any = None


class _Tool(msgspec.Struct):
    type: str | None = None


class _Asked(msgspec.Struct):
    messages: list[_Message] = []
    tools: list[_Tool] | None = None
    container: Any = None
    mcp_servers: Any = None


_decode = msgspec.json.Decoder(_Asked).decode


def refuse_foreign(text: bytes) -> None:
    """Raises Refused."""
    try:
        asked = _decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None
    for name in KEPT:
        if getattr(asked, name):
            raise Refused(
                400, "not_supported", f"{name} is not supported: nothing is kept or run at the provider", param=name
            )
    for tool in asked.tools or ():
        if tool.type and not tool.type.startswith(CLIENT_TOOLS):
            raise Refused(
                400, "not_supported", f"the tool {tool.type!r} runs at the provider; only the caller's own are offered"
            )
    for message in asked.messages:
        if isinstance(message.content, list):
            _refuse_files(message.content)


def _refuse_files(blocks: list[Any]) -> None:
    """Files that were stored before, in blocks and in results of tools."""
    for block in blocks:
        if not isinstance(block, dict):
            continue
        source = block.get("source")
        if isinstance(source, dict) and (source.get("type") == "file" or "file_id" in source):
            raise Refused(400, "not_supported", "files are not stored here: send the data itself")
        for within in (block.get("content"), source.get("content") if isinstance(source, dict) else None):
            if isinstance(within, list):
                _refuse_files(within)
