"""Who asks: a key's owner, or where no keys are in force the tenant of this machine."""

from __future__ import annotations

import time
from hmac import compare_digest
from typing import NamedTuple

from tokenworks.serve.access.keys import Key, KeyRing, Keys
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection

LOCAL = Key("", "", "local", scopes=("infer", "metrics"))
SAME_ANSWER = "no valid API key: send it as Authorization: Bearer tw-…, or as x-api-key"


class Proof(NamedTuple):
    """A key that was shown on a connection. While ``ring`` is in force the same words are compared, and not hashed again."""

    given: bytes  # the Authorization header
    key: Key
    ring: Keys


class Access:
    """Finds the key of a request."""

    def __init__(self, ring: KeyRing | None):
        self.ring = ring

    def of(self, request: Request, connection: ServerConnection, scope: str) -> Key:
        """Raises Refused: 401 with one answer for every key that is not valid, 403 for a scope that it lacks."""
        ring, proof = self.ring, connection.proof
        if ring is None:
            return LOCAL
        given = request.headers.get(b"authorization", b"")
        key: Key | None = None
        if proof is not None and proof.ring is ring.in_force and compare_digest(proof.given, given):
            key = proof.key
        if key is None or (key.expires_s and key.state(time.time()) != "valid"):
            key = self._found(ring, given, request, connection)
        if key is None:
            raise Refused(401, "invalid_api_key", SAME_ANSWER)
        if scope not in key.scopes:
            raise Refused(403, "scope", f"this key has no scope {scope!r}")
        return key

    def _found(self, ring: KeyRing, given: bytes, request: Request, connection: ServerConnection) -> Key | None:
        bearer = given[:7].lower() == b"bearer "
        text = given[7:].strip() if bearer else request.headers.get(b"x-api-key", b"")
        key = ring.find(text, time.time()) if text else None
        connection.proof = Proof(given, key, ring.in_force) if key and bearer else None
        return key


def may_ask(key: Key, service: str) -> bool:
    return not key.services or service in key.services
