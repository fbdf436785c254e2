"""The admin API: who works how, which upstreams take no new requests. It is there where ``serve.admin`` is on, for keys of
the scope ``admin`` and nobody else, and every change is in the audit log before it holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tokenworks.errors import InputError
from tokenworks.serve.access import Access
from tokenworks.serve.audit import beside, record
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key, KeyRing
from tokenworks.serve.served import Served
from tokenworks.spec.factory import Factory

PREFIX = b"/admin/"
CHANGES = {b"drain": True, b"undrain": False}


class Front(Protocol):
    """What the admin API needs of a gateway."""

    access: Access

    @property
    def services(self) -> Sequence[Served]: ...


def admin_of(factory: Factory, ring: KeyRing | None, alone: bool) -> Admin | None:
    """None where it is switched off. Raises InputError where nobody could be told from anybody else, and where there are
    other gateway processes, which would not hear of a change."""
    if not factory.serve.admin:
        return None
    if not alone:
        raise InputError("serve.admin changes one gateway process: start it without --processes")
    if ring is None:
        raise InputError("serve.admin needs keys: `tokenworks keys add --tenant … --scope admin`, then --keys FILE")
    return Admin(ring, Path(factory.serve.audit) if factory.serve.audit else beside(ring.path))


class Admin:
    """GET /admin/upstreams, GET /admin/keys, POST /admin/upstreams/SERVICE/POSITION/drain and …/undrain."""

    def __init__(self, ring: KeyRing, audit: Path):
        self._ring, self._audit = ring, audit

    def handle(self, request: Request, connection: ServerConnection, front: Front) -> None:
        """Raises Refused."""
        key = front.access.of(request, "admin")
        parts = request.path.removeprefix(PREFIX).split(b"/")
        if parts == [b"upstreams"]:
            self._needs(request, b"GET")
            answer: object = {"upstreams": [_upstream(s, i) for s in front.services for i in s.router.positions]}
        elif parts == [b"keys"]:
            self._needs(request, b"GET")
            answer = {"keys": [_key(k) for k in self._ring.keys]}
        elif len(parts) == 4 and parts[0] == b"upstreams" and parts[3] in CHANGES:
            self._needs(request, b"POST")
            answer = self._change(key, front, parts[1], parts[2], CHANGES[parts[3]])
        else:
            raise Refused(404, "not_found", "there is no such path")
        connection.respond(200, msgspec.json.encode(answer))

    @staticmethod
    def _needs(request: Request, method: bytes) -> None:
        if request.method != method:
            raise Refused(405, "method", f"{request.path.decode('latin-1')} takes {method.decode()}")

    def _change(self, key: Key, front: Front, service: bytes, position: bytes, drained: bool) -> object:
        from urllib.parse import unquote_to_bytes

        name = unquote_to_bytes(service).decode("utf-8", "replace")
        served = next((s for s in front.services if s.name == name), None)
        i = int(position) if position.isdigit() and len(position) <= 6 else -1
        if served is None or i not in served.router.positions:
            raise Refused(404, "not_found", "there is no such upstream; see /admin/upstreams")
        action = "upstream.drain" if drained else "upstream.undrain"
        url = served.router.upstreams[i].url
        try:
            record(self._audit, f"key:{key.id} of {key.tenant}", action, f"{name}/{i}", url=url)
        except InputError as error:
            raise Refused(503, "not_audited", f"nothing was changed: {error}") from None
        served.router.drain(i, drained)
        return _upstream(served, i)


def _upstream(served: Served, i: int) -> dict[str, object]:
    router = served.router
    return {
        "service": served.name, "upstream": i, "url": router.upstreams[i].url, "drained": router.breakers[i].drained,
        "up": router.breakers[i].closed and router.up[i], "outstanding": router.outstanding[i],
    }  # fmt: skip


def _key(key: Key) -> dict[str, object]:
    """Never its hash."""
    return {
        "id": key.id, "state": key.state(time.time()), "tenant": key.tenant, "scopes": key.scopes,
        "services": key.services, "expires_s": key.expires_s,
    }  # fmt: skip
