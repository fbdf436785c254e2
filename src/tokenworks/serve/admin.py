"""The admin API: who works how, which upstreams take no new requests. It is there where ``serve.admin`` is on, for keys of
the scope ``admin`` and nobody else, and every change is in the audit log before it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tokenworks.errors import InputError
from tokenworks.serve.access.access import Access
from tokenworks.serve.access.audit import beside, record
from tokenworks.serve.access.keys import Key, KeyRing
from tokenworks.serve.http.request import Refused, Request, not_allowed
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.factory import Factory

PREFIX = b"/admin/"
CHANGES = {b"drain": True, b"undrain": False}


class Front(Protocol):
    """What the admin API needs of a gateway."""

    access: Access

    @property
    def services(self) -> Sequence[Served]: ...


Then = Callable[[str], None]


class Processes(Protocol):
    """All gateway processes of the port, where there are several."""

    def drain(self, served: Served, upstream: int, drained: bool, then: Then) -> None:
        """In all of them; ``then`` hears why it may not hold, "" where it does."""

    def gauge(self, name: str, labels: str) -> int:
        """A metric of all of them."""


def admin_of(factory: Factory, ring: KeyRing | None, processes: Processes | None) -> Admin | None:
    """None where it is switched off. Raises InputError where nobody could be told from anybody else."""
    if not factory.serve.admin:
        return None
    if ring is None:
        raise InputError("serve.admin needs keys: `tokenworks keys add --tenant … --scope admin`, then --keys FILE")
    return Admin(ring, Path(factory.serve.audit) if factory.serve.audit else beside(ring.path), processes)


class Admin:
    """GET /admin/upstreams, GET /admin/keys, POST /admin/upstreams/SERVICE/N/drain and …/undrain; N: the place in the
    file's list."""

    def __init__(self, ring: KeyRing, audit: Path, processes: Processes | None):
        self._ring, self._audit, self._processes = ring, audit, processes

    def handle(self, request: Request, connection: ServerConnection, front: Front) -> None:
        """Raises Refused."""
        key = front.access.of(request, connection, "admin")
        parts = request.path.removeprefix(PREFIX).split(b"/")
        if parts == [b"upstreams"]:
            self._needs(request, "GET", "HEAD")
            rows = [self._upstream(s, n) for s in front.services for n in range(len(s.places))]
            _respond(connection, {"upstreams": rows})
        elif parts == [b"keys"]:
            self._needs(request, "GET", "HEAD")
            _respond(connection, {"keys": [_key(k) for k in self._ring.keys]})
        elif len(parts) == 4 and parts[0] == b"upstreams" and parts[3] in CHANGES:
            self._needs(request, "POST")
            self._change(key, _found(front, parts[1], parts[2]), CHANGES[parts[3]], connection)
        else:
            raise Refused(404, "not_found", "there is no such path")

    @staticmethod
    def _needs(request: Request, *methods: str) -> None:
        if request.method.decode() not in methods:
            raise not_allowed(request.path, *methods)

    def _change(self, key: Key, what: tuple[Served, int], drained: bool, connection: ServerConnection) -> None:
        served, n = what
        action = "upstream.drain" if drained else "upstream.undrain"
        try:
            record(
                self._audit, f"key:{key.id} of {key.tenant}", action, f"{served.name}/{n}",
                url=served.places[n].upstream.url,
            )  # fmt: skip
        except InputError as error:
            raise Refused(503, "not_audited", f"nothing was changed: {error}") from None

        def then(trouble: str) -> None:
            if trouble:
                connection.respond_error(Refused(503, "not_confirmed", trouble))
            else:
                _respond(connection, self._upstream(served, n))

        if self._processes:
            self._processes.drain(served, n, drained, then)
        else:
            served.places[n].drain(drained)
            then("")

    def _upstream(self, served: Served, n: int) -> dict[str, object]:
        router, i = served.places[n]
        up, outstanding = router.breakers[i].closed and router.up[i], router.outstanding[i]
        if self._processes:
            labels = served.labels(n)
            up = bool(self._processes.gauge("tokenworks_upstream_up", labels))
            outstanding = self._processes.gauge("tokenworks_upstream_outstanding", labels)
        return {
            "service": served.name, "upstream": n, "url": router.upstreams[i].url,
            "drained": router.breakers[i].drained, "up": up, "outstanding": outstanding,
        }  # fmt: skip


def _found(front: Front, service: bytes, upstream: bytes) -> tuple[Served, int]:
    """Raises Refused."""
    from urllib.parse import unquote_to_bytes

    name = unquote_to_bytes(service).decode("utf-8", "replace")
    served = next((s for s in front.services if s.name == name), None)
    n = int(upstream) if upstream.isdigit() and len(upstream) <= 6 else -1
    if served is None or n not in range(len(served.places)):
        raise Refused(404, "not_found", "there is no such upstream; see /admin/upstreams")
    return served, n


def _respond(connection: ServerConnection, answer: object) -> None:
    connection.respond(200, msgspec.json.encode(answer))


def _key(key: Key) -> dict[str, object]:
    """Never its hash."""
    return {
        "id": key.id, "state": key.state(time.time()), "tenant": key.tenant, "scopes": key.scopes,
        "services": key.services, "expires_s": key.expires_s,
    }  # fmt: skip
