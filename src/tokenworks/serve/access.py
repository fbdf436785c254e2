"""Who asks: a key's owner, or where no keys are in force the tenant of this machine."""

from __future__ import annotations

import time

from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.keys import Key, KeyRing

LOCAL = Key("", "", "local", scopes=("infer", "metrics"))
SAME_ANSWER = "no valid API key: send it as Authorization: Bearer tw-…, or as x-api-key"


class Access:
    """Finds the key of a request."""

    def __init__(self, ring: KeyRing | None):
        self.ring = ring

    def of(self, request: Request, scope: str) -> Key:
        """Raises Refused: 401 with one answer for every key that is not valid, 403 for a scope that it lacks."""
        if self.ring is None:
            return LOCAL
        given = request.headers.get(b"authorization", b"")
        text = given[7:].strip() if given[:7].lower() == b"bearer " else request.headers.get(b"x-api-key", b"")
        key = self.ring.find(text, time.time()) if text else None
        if key is None:
            raise Refused(401, "invalid_api_key", SAME_ANSWER)
        if scope not in key.scopes:
            raise Refused(403, "scope", f"this key has no scope {scope!r}")
        return key


def may_ask(key: Key, service: str) -> bool:
    return not key.services or service in key.services
