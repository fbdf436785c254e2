"""Where the members of a JSON object stand in its bytes: one compiled pass over a text that is known to be JSON."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit

MOST_MEMBERS = 256
QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = b'"\\,{}[]'

Ints = NDArray[np.int64]


@njit(cache=True)
def members(text, spans):  # type: ignore[no-untyped-def]
    """Fills ``spans`` (m, 4) with (key start, key end, value start, value end) of each member of the outermost object,
    quotes of keys left out, blanks around values left out. Returns the count, −1 where there are more than ``spans`` holds,
    −2 where a key holds a backslash."""
    depth, count, place, escaped = 0, 0, 0, False
    inside, is_key, begin, last = False, False, 0, -1
    for i in range(len(text)):
        c = text[i]
        if inside:
            if escaped:
                escaped = False
            elif c == BACKSLASH:
                if is_key:
                    return -2
                escaped = True
            elif c == QUOTE:
                inside, last = False, i
                if is_key:
                    spans[count, 1], is_key, place = i, False, 1
            continue
        if c in (32, 9, 10, 13):
            continue
        if c == QUOTE:
            inside = True
            if depth == 1 and place == 0:
                if count == len(spans):
                    return -1
                is_key, spans[count, 0] = True, i + 1
                continue
        if depth == 1 and place == 1:  # the colon
            place = 2
            continue
        if depth == 1 and place == 2:
            begin, place = i, 3
        if c in (OPEN, OPEN_LIST):
            depth += 1
        elif c in (CLOSE, CLOSE_LIST):
            depth -= 1
        if (depth == 1 and c == COMMA) or depth == 0:
            if place == 3:
                spans[count, 2], spans[count, 3] = begin, last + 1
                count += 1
            place = 0
        last = i
    return count
