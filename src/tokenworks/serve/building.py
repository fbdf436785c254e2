"""From the factory file to what the gateway works with. Nothing is opened before all of it is known to fit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from tokenworks.errors import InputError
from tokenworks.serve.breaker import BreakerRules
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.pool import Patience
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.routing import Router
from tokenworks.serve.served import Served
from tokenworks.serve.upstream import API_KEY, BEARER, Credential, Upstream
from tokenworks.spec import serving as spec
from tokenworks.spec.factory import ROUTING, Factory


def limits_of(factory: Factory) -> Limits:
    return Limits(body_bytes=round(factory.serve.body_bytes))


def upstreams_of(factory: Factory) -> dict[str, list[Upstream]]:
    """The upstreams of each service, as the file lists them. Raises InputError for a key that is not there."""
    rules = factory.serve
    patience = Patience(rules.connect_s, rules.first_byte_s, rules.silence_s)
    found: dict[str, list[Upstream]] = {s.name: [] for s in factory.services}
    for one in rules.upstreams:
        made = Upstream(
            one.url, model=one.model, credential=_credential(one), most=one.max_requests,
            continuous_usage=one.continuous_usage, speaks=one.speaks, patience=patience,
        )  # fmt: skip
        found[one.service].append(made)
    return found


def _credential(of: spec.Upstream) -> Credential:
    return Credential(of.key_env, of.key_file, API_KEY if of.dialect == "anthropic" else BEARER)


def services_of(factory: Factory, upstreams: Mapping[str, Sequence[Upstream]]) -> list[Served]:
    """What is served. Raises InputError where nothing is, UnsupportedError for a policy that the gateway does not have."""
    rules, now = factory.serve, int(time.time())
    breaker = BreakerRules(rules.failures, rules.pause_s)
    served = []
    for service in factory.services:
        mine = upstreams.get(service.name, ())
        if mine:
            policy = ROUTING.index(service.routing)
            router = Router(service.name, mine, policy, factory.run.seed, breaker)
            speaks = frozenset.intersection(*(upstream.speaks for upstream in mine))
            keyed = any(upstream.keyed for upstream in mine)
            served.append(Served(service.name, service.model, router, rules.retries, now, speaks, keyed))
    if not served:
        raise InputError(
            f"{factory.source_file or factory.name}: no service has an upstream; list engines under serve.upstreams, or "
            "start with --emulate"
        )
    return served


def open_upstreams(services: Sequence[Served], sweep: Sweep, loop: asyncio.AbstractEventLoop) -> None:
    for served in services:
        for upstream in served.router.upstreams:
            upstream.open(sweep, loop)
