"""What no caller may ask of /v1/responses: things that are kept under the gateway's key, which all tenants share, and tools
that run at the provider, which no token pays."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.dialects.kept import NOTHING, objects, refuse_files
from tokenworks.serve.http.request import Refused

OWN_TOOLS = (b'"function"', b'"custom"')  # that the caller runs
WHOLE = (
    b'"message"',
    b'"function_call"',
    b'"function_call_output"',
    b'"custom_tool_call"',
    b'"custom_tool_call_output"',
)
"""Items that hold all that they say. Others refer to something, or come from tools that are not offered."""
THOUGHTS = (b'"reasoning"', b'"compaction"')  # hold it or refer to it
KEPT = {
    "previous_response_id": "responses are not stored: send the whole conversation as input",
    "conversation": "conversations are not stored: send the whole conversation as input",
    "prompt": "prompts are not stored: send instructions and input",
    "background": "responses are made while the caller waits",
    "store": "responses are not stored: send store: false or leave it out",
}
LEFT_OUT = dict.fromkeys(KEPT) | {"store": msgspec.UNSET}  # null means the default, and providers' default is to store


class _Asked(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    background: Any = None
    store: Any = msgspec.UNSET


_decode = msgspec.json.Decoder(_Asked).decode


def refuse_foreign(text: bytes, stores: bool) -> bool:
    """Whether the caller says that nothing is stored. ``stores``: the upstream may keep items. Raises Refused."""
    try:
        asked = _decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None
    for name, why in KEPT.items():
        value = getattr(asked, name)
        if value is not LEFT_OUT[name] and value is not False:
            raise _refused(f"{name}: {why}", name)
    for tool in objects(bytes(asked.tools), "tools"):
        kind = bytes(tool.get("type", b"null"))
        if kind not in OWN_TOOLS:
            raise _refused(f"the tool {_shown(kind)} runs at the provider; only functions are offered", "tools")
    said = bytes(asked.input)
    if said not in NOTHING and not said.startswith(b'"'):
        for item in objects(said, "input"):
            _refuse_reference(item, stores)
        refuse_files(said, "input")
    return asked.store is False


def _refuse_reference(item: dict[str, msgspec.Raw], stores: bool) -> None:
    kind = bytes(item.get("type", b""))
    if kind in WHOLE and len(item) > 2:
        return
    if kind == b'"item_reference"' or item.keys() <= {"id", "type"} or not (kind or "role" in item):
        raise _refused("items are not stored: send the item itself", "input")
    if kind and kind not in WHOLE and kind not in THOUGHTS:
        raise _refused(
            f"an item of the type {_shown(kind)} is of a tool that is not offered, or of what is not stored", "input"
        )
    if stores and kind in THOUGHTS and "id" in item and not (_has(item, "content") or _has(item, "encrypted_content")):
        raise _refused(
            "items are not stored: send reasoning with its content or encrypted_content, or leave it out", "input"
        )


def _has(item: dict[str, msgspec.Raw], name: str) -> bool:
    return name in item and bytes(item[name]) not in (b"null", b"[]", b'""')


def _shown(kind: bytes) -> str:
    return kind[:100].decode(errors="replace")


def _refused(why: str, param: str) -> Refused:
    return Refused(400, "not_supported", why, param=param)
