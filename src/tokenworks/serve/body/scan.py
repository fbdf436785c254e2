"""Where the members of a JSON object stand in its bytes: one compiled pass over a text that is known to be JSON."""

from __future__ import annotations

import numpy as np

from tokenworks.control.compiled import njit

MOST_MEMBERS = 256
TOO_MANY, BACKSLASHED, TWICE, OTHER_CASE = -1, -2, -3, -4  # what a text is refused for
COUNT, UNUSUAL, HUGE, DEPTH = 0x1FF, 0x200, 0x400, 11  # of the answer: the count, flags, and the depth's lowest bit
MOST_DIGITS, MOST_OF_EXPONENT = 300, 3  # of a number: with as many it may be above all that a float holds
ZERO, NINE, E, E_SMALL, PLUS, MINUS = b"09Ee+-"
QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = b'"\\,{}[]'
S, I, K = b"sik"  # noqa: E741
USUAL = (
    b"model", b"messages", b"stream", b"stream_options", b"temperature", b"top_p", b"seed", b"stop", b"user",
    b"prompt_cache_key", b"presence_penalty", b"frequency_penalty", b"max_tokens", b"max_completion_tokens",
)  # fmt: skip
"""Members of most chats: none asks for more answers, or for more input than its bytes."""
READ = (
    *USUAL, b"n", b"max_output_tokens", b"best_of", b"n_predict", b"max_new_tokens", b"num_predict", b"max_length", b"min_tokens",
    b"system", b"prompt", b"input", b"tools", b"functions", b"emulate", b"metadata", b"previous_response_id", b"conversation",
    b"background", b"store", b"web_search_options", b"audio", b"container", b"mcp_servers", b"user_profile_id",
    b"kv_transfer_params", b"bootstrap_host", b"bootstrap_port", b"bootstrap_room",
)  # fmt: skip
"""Members by which the gateway decides something. Some engines take them in any case (Go's encoding/json: Ollama)."""
_NAMES = np.frombuffer(b"".join(READ), np.uint8)
_STARTS = np.cumsum([0, *map(len, READ)])
_USUAL = len(USUAL)


class Scanner:
    """Looks at one text at a time."""

    def __init__(self) -> None:
        self._spans = np.empty((MOST_MEMBERS, 4), np.int64)
        self._bytes = np.empty(1 << 16, np.uint8)
        self._room = self._bytes.data  # into which texts are copied: numpy takes longer to look at them where they are
        self._size = len(self._bytes)

    def look(self, text: bytes) -> int:
        """As `members`."""
        size = len(text)
        if size > self._size:
            return members(np.frombuffer(bytearray(text), np.uint8), size, self._spans)  # type: ignore[no-any-return]
        self._room[:size] = text
        return members(self._bytes, size, self._spans)  # type: ignore[no-any-return]

    def spans(self, text: bytes) -> list[list[int]]:
        """(key start, key end, value start, value end) of each member of a text that may be looked at."""
        found: list[list[int]] = self._spans[: self.look(text) & COUNT].tolist()
        return found


@njit(cache=True)
def members(text, size, spans):  # type: ignore[no-untyped-def]
    """Fills ``spans`` (m, 4) with (key start, key end, value start, value end) of each member of the outermost object of the
    first ``size`` bytes, quotes of keys left out, blanks around values left out. Returns the count, with UNUSUAL where a member
    is none of `USUAL`, with HUGE where a number may be above all that can be read, and above that the depth of the text (1: it
    holds no other object or list); TOO_MANY where there are more than ``spans`` holds, BACKSLASHED where a key holds a
    backslash, TWICE where two keys are the same, OTHER_CASE where one reads like one of `READ` to whom case is nothing."""
    depth, deepest, count, place, escaped = 0, 0, 0, 0, False
    inside, is_key, begin, last = False, False, 0, -1
    huge, digits, exponent = 0, 0, False
    for i in range(size):
        c = text[i]
        if inside:
            if escaped:
                escaped = False
            elif c == BACKSLASH:
                if is_key:
                    return BACKSLASHED
                escaped = True
            elif c == QUOTE:
                inside, last = False, i
                if is_key:
                    spans[count, 1], is_key, place = i, False, 1
            continue
        if c in (32, 9, 10, 13):
            continue
        if ZERO <= c <= NINE:
            digits += 1
            if digits == MOST_DIGITS or (exponent and digits == MOST_OF_EXPONENT):
                huge = HUGE
        else:
            exponent = (digits > 0 and c in (E, E_SMALL)) or (exponent and c in (PLUS, MINUS))
            digits = 0
        if c == QUOTE:
            inside = True
            if depth == 1 and place == 0:
                if count == len(spans):
                    return TOO_MANY
                is_key, spans[count, 0] = True, i + 1
                continue
        if depth == 1 and place == 1:  # the colon
            place = 2
            continue
        if depth == 1 and place == 2:
            begin, place = i, 3
        if c in (OPEN, OPEN_LIST):
            depth += 1
            deepest = max(deepest, depth)
        elif c in (CLOSE, CLOSE_LIST):
            depth -= 1
        if (depth == 1 and c == COMMA) or depth == 0:
            if place == 3:
                spans[count, 2], spans[count, 3] = begin, last + 1
                count += 1
            place = 0
        last = i
    names = _names(text, spans, count)
    return names if names < 0 else (deepest << DEPTH) | huge | names | count


@njit(cache=True)
def _names(text, spans, count):  # type: ignore[no-untyped-def]
    """UNUSUAL, 0, TWICE or OTHER_CASE."""
    unusual, other_case = 0, False
    for i in range(count):
        for other in range(i):
            if _same(text, spans[i, 0], spans[i, 1], text, spans[other, 0], spans[other, 1]):
                return TWICE
        if not _usual(text, spans[i, 0], spans[i, 1]):
            unusual = UNUSUAL
            other_case = other_case or _in_other_case(text, spans[i, 0], spans[i, 1])
    return OTHER_CASE if other_case else unusual


@njit(cache=True)
def _usual(text, begin, end):  # type: ignore[no-untyped-def]
    found = False
    for name in range(_USUAL):
        found = found or _same(text, begin, end, _NAMES, _STARTS[name], _STARTS[name + 1])
    return found


@njit(cache=True)
def _in_other_case(text, begin, end):  # type: ignore[no-untyped-def]
    """Whether a name with capitals, or with letters beyond ASCII, is one of `READ` otherwise."""
    plain = True
    for i in range(begin, end):
        plain = plain and not (65 <= text[i] <= 90 or text[i] >= 128)
    found = False
    for name in range(0 if plain else len(_STARTS) - 1):
        found = found or _alike(text, begin, end, _STARTS[name], _STARTS[name + 1])
    return found


@njit(cache=True)
def _alike(text, begin, end, start, stop):  # type: ignore[no-untyped-def]
    place = begin
    for at in range(start, stop):
        if place >= end:
            return False
        letter, size = _lower(text, place)
        if letter != _NAMES[at]:
            return False
        place += size
    return place == end


@njit(cache=True)
def _lower(text, place):  # type: ignore[no-untyped-def]
    """(The letter there in ASCII's lower case, its bytes); (0, 1) where it has none. Not only capitals have one."""
    c = text[place]
    if c < 128:
        return (c + 32 if 65 <= c <= 90 else c), 1
    if c == 0xC5 and text[place + 1] == 0xBF:  # U+017F, a long s
        return S, 2
    if c == 0xC4 and 0xB0 <= text[place + 1] <= 0xB1:  # U+0130 and U+0131, an I with a dot and an i without
        return I, 2
    if c == 0xE2 and text[place + 1] == 0x84 and text[place + 2] == 0xAA:  # U+212A, kelvin
        return K, 3
    return 0, 1


@njit(cache=True)
def _same(text, begin, end, other, start, stop):  # type: ignore[no-untyped-def]
    if end - begin != stop - start:
        return False
    different = 0
    for i in range(end - begin):
        different |= text[begin + i] ^ other[start + i]
    return different == 0
