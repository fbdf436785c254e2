"""What a caller demands of the way its call is handled, in headers."""

from __future__ import annotations

import re

from tokenworks.serve.http.request import Refused

TIMEOUT, PRIORITY = b"x-request-timeout", b"x-request-priority"
LONGEST_S, MOST_PRIORITY = 86_400.0, 1000
_number = re.compile(rb"\d{1,6}(\.\d{1,6})?").fullmatch
_whole = re.compile(rb"-?\d{1,4}").fullmatch


def deadline_s(headers: dict[bytes, bytes]) -> float:
    """Seconds that the whole answer may take, of a call that has the header. Raises Refused for what is no such time."""
    text = headers[TIMEOUT]
    wait_s = float(text) if _number(text) else 0.0
    if not 0 < wait_s <= LONGEST_S:
        raise Refused(
            400, "header", f"X-Request-Timeout is a time in seconds, above 0 and up to {LONGEST_S:g}, e.g. 30"
        )
    return wait_s


def priority(headers: dict[bytes, bytes]) -> int:
    """Of a call that has to wait, among those of its tenant (X-Request-Priority): the greater, the sooner; 0 where none is
    stated. Raises Refused for what is no such number."""
    text = headers.get(PRIORITY, b"0")
    if not _whole(text) or abs(int(text)) > MOST_PRIORITY:
        raise Refused(400, "header", f"X-Request-Priority is a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}")
    return int(text)
