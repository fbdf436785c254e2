"""What no caller may ask of /v1/responses: things that are kept under the gateway's key, which all tenants share, and tools
that run at the provider, which no token pays."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.http.request import Refused

OWN_TOOLS = ("function", "custom")  # that the caller runs
KEPT = {
    "previous_response_id": "responses are not stored: send the whole conversation as input",
    "conversation": "conversations are not stored: send the whole conversation as input",
    "prompt": "prompts are not stored: send instructions and input",
    "background": "responses are made while the caller waits",
    "store": "responses are not stored: send store: false or leave it out",
}

LEFT_OUT = dict.fromkeys(KEPT) | {"store": msgspec.UNSET}  # null means the default, and providers' default is to store


class _Tool(msgspec.Struct):
    type: str


class _Asked(msgspec.Struct):
    input: Any = None
    tools: list[_Tool] | None = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    background: Any = None
    store: Any = msgspec.UNSET


_decode = msgspec.json.Decoder(_Asked).decode


def refuse_foreign(text: bytes) -> bool:
    """Raises Refused. Returns whether the caller says that nothing is stored."""
    try:
        asked = _decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None
    for name, why in KEPT.items():
        if getattr(asked, name) not in (LEFT_OUT[name], False):
            raise Refused(400, "not_supported", f"{name}: {why}", param=name)
    for tool in asked.tools or ():
        if tool.type not in OWN_TOOLS:
            why = f"the tool {tool.type!r} runs at the provider; only functions are offered"
            raise Refused(400, "not_supported", why, param="tools")
    for item in asked.input if isinstance(asked.input, list) else ():
        if isinstance(item, dict):
            _refuse_kept(item)
    return asked.store is False


def _refuse_kept(item: dict[str, Any]) -> None:
    if item.get("type") == "item_reference" or ("id" in item and item.keys() <= {"id", "type"}):
        raise Refused(400, "not_supported", "items are not stored: send the item itself", param="input")
    for parts in (item.get("content"), item.get("output")):
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("file_id") is not None:
                raise Refused(400, "not_supported", "files are not stored: send the data itself", param="input")
