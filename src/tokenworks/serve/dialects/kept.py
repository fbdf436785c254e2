"""References to what a provider keeps: all tenants share the gateway's key there.

Of two members with one name some readers take the first, others the last. Wherever a reference could hide, both are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.body.scan import OTHER_CASE, Scanner
from tokenworks.serve.body.splice import REASONS, Body
from tokenworks.serve.http.request import Refused

FILE, AUDIO = b'"file_id"', b'"audio"'
ESCAPED = re.compile(rb'\\u00[2-7][^"]{0,40}"\s*:')  # a name can be written with escapes, too
SHALLOW = 3  # in a chat of this depth messages hold neither parts nor audio
MOST_VALUES = 1 << 17  # that are looked through one by one
NOTHING = (b"", b"null")
RUN = "nothing is kept or run at the provider"

_scanner = Scanner()
_members = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_each = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Chat(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    store: Any = None
    web_search_options: Any = None
    audio: msgspec.Raw = msgspec.Raw()


_chat = msgspec.json.Decoder(_Chat).decode


def refuse_kept(body: Body) -> None:
    """Of chat completions. Raises Refused. Costs nothing for a chat of plain texts."""
    deep = body.depth > SHALLOW and (AUDIO in body.text or may_name_file(body.text))
    if body.usual and not deep:
        return
    try:
        asked = _chat(body.text)
    except NOT_JSON as error:
        raise not_json(error) from None
    if asked.store is not None and asked.store is not False:
        raise _refused("answers are not stored: send store: false or leave it out", "store")
    if asked.web_search_options is not None:
        raise _refused(f"web_search_options is not supported: {RUN}", "web_search_options")
    _refuse_voice(bytes(asked.audio))
    if deep:
        _refuse_in_messages(bytes(asked.messages))


def _refuse_voice(audio: bytes) -> None:
    found = None if audio in NOTHING else once(audio)
    if isinstance(found, dict) and isinstance(found.get("voice"), dict):
        raise _refused("voices are not stored: send the name of one that everybody has", "audio")


def _refuse_in_messages(raw: bytes) -> None:
    messages = None if raw in NOTHING else once(raw)
    for message in messages if isinstance(messages, list) else ():
        audio = message.get("audio") if isinstance(message, dict) else None
        if isinstance(audio, dict) and audio.get("id") is not None:
            raise _refused("answers in audio are not stored: send what was said as text", "messages")
    if names_file([messages]):
        raise _no_files("messages")


def refuse_files(raw: bytes, param: str) -> None:
    """Raises Refused where ``raw``, the JSON of a member that holds content, names a file that was stored before."""
    if may_name_file(raw) and names_file([once(raw)]):
        raise _no_files(param)


def may_name_file(text: bytes) -> bool:
    return FILE in text or (b"\\u00" in text and ESCAPED.search(text) is not None)


def names_file(values: list[Any]) -> bool:
    """Wherever it stands in them, but in what a tool was called with: that is the caller's own."""
    left: list[Any] = [values]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("file_id") is not None:
                return True
            called = one.get("type") == "tool_use"
            one = [inner for name, inner in one.items() if not (called and name == "input")]
        left += [inner for inner in one if isinstance(inner, dict | list)]
    return False


def once(raw: bytes) -> Any:
    """What the JSON says. Raises Refused where an object in it has a member twice."""
    if raw.count(b",") > MOST_VALUES:
        raise Refused(400, "not_supported", "the body names files and has too many values to find out which")
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise not_json(error) from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise Refused(400, "invalid_json", "an object in the body has a member twice")
    return found


def objects(raw: bytes, param: str) -> list[dict[str, msgspec.Raw]]:
    """The members of each object of a list. Raises Refused for what is no such list, and where one of them has a member twice."""
    if raw in NOTHING:
        return []
    try:
        found = _members(raw)
    except NOT_JSON as error:
        raise Refused(400, "invalid_json", f"{param} is no list of objects: {error}", param=param) from None
    if raw != msgspec.json.encode(found):  # blanks, escapes, or more members than were found
        for one in _each(raw):
            fault = _scanner.look(bytes(one))
            if fault < 0 and fault != OTHER_CASE:
                raise Refused(400, "invalid_json", f"in {param}: {REASONS[fault]}", param=param)
    return found


def _refused(why: str, param: str) -> Refused:
    return Refused(400, "not_supported", why, param=param)


def _no_files(param: str) -> Refused:
    return _refused("files are not stored here: send the data itself", param)
