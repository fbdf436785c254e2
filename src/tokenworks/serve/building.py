"""From the factory file to what the gateway works with. Nothing is opened before all of it is known to fit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from tokenworks.control.routing import KV_AWARE
from tokenworks.errors import InputError
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.pool import Patience
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.upstreams.breaker import BreakerRules
from tokenworks.serve.upstreams.fair_queue import FairQueue, QueueRules
from tokenworks.serve.upstreams.hedging import HedgeRules, Hedging
from tokenworks.serve.upstreams.prefix_router import PrefixRouter
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.split import Split
from tokenworks.serve.upstreams.upstream import API_KEY, BEARER, Credential, Upstream
from tokenworks.spec import serving as spec
from tokenworks.spec.factory import ROUTING, Factory, Service
from tokenworks.spec.fleet import FleetOf, Processes, replicas_of
from tokenworks.spec.pool_checks import ROLES, handover_of
from tokenworks.spec.serving import Serving


def limits_of(factory: Factory) -> Limits:
    return Limits(body_bytes=round(factory.serve.body_bytes))


def upstreams_of(factory: Factory) -> dict[str, list[Upstream]]:
    """The upstreams of each service, as the file lists them. Raises InputError for a key that is not there."""
    rules = factory.serve
    patience = Patience(rules.connect_s, rules.first_byte_s, rules.silence_s)
    found: dict[str, list[Upstream]] = {s.name: [] for s in factory.services}
    services = {s.name: s for s in factory.services}
    for one in rules.upstreams:
        made = Upstream(
            one.url, model=one.model, credential=_credential(one), most=one.max_requests,
            continuous_usage=one.continuous_usage, speaks=one.speaks, continues=one.continues, kv_tokens=one.kv_tokens,
            metrics=one.metrics, kv_events=one.kv_events, patience=patience, role=one.role,
            handover=handover_of(services[one.service], one), bootstrap_port=one.bootstrap_port,
        )  # fmt: skip
        found[one.service].append(made)
    for fleet in rules.fleets:
        if fleet.processes:
            found[fleet.service] += _replicas(fleet, fleet.processes, services[fleet.service], patience)
    return found


def _replicas(fleet: FleetOf, of: Processes, service: Service, patience: Patience) -> list[Upstream]:
    pool = service.pool(fleet.role)
    assert pool is not None
    return [
        Upstream(
            f"http://127.0.0.1:{of.port + k}", model=of.model, patience=patience, role=fleet.role,
            handover=service.engine, bootstrap_port=of.bootstrap_port + k,
        )
        for k in range(replicas_of(pool))
    ]  # fmt: skip


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
            router, prefill = _routers(service, mine, factory.run.seed, breaker)
            speaks = frozenset.intersection(*(upstream.speaks for upstream in mine))
            keyed = any(upstream.keyed for upstream in mine)
            served.append(Served(service.name, service.model, router, rules.retries, now, speaks, keyed))
            served[-1].prefill = prefill
            _equip(served[-1], rules)
    if not served:
        raise InputError(
            f"{factory.source_file or factory.name}: no service has an upstream; list engines under serve.upstreams, or "
            "start with --emulate"
        )
    by_name = {one.name: one for one in served}
    for one in served:
        one.standby = tuple(by_name[name] for name in rules.fallbacks.get(one.name, ()) if name in by_name)
    return served


def _equip(served: Served, rules: Serving) -> None:
    """With what is switched on for all services."""
    if rules.queue:
        served.queue = FairQueue(served.name, QueueRules(rules.queue.most, rules.queue.longest_s, rules.queue.weights))
        for router in served.routers:
            router.freed = served.queue.freed
    if rules.hedge and served.prefill is None:  # a second prefill would be the dearest part of the call twice
        served.hedging = Hedging(HedgeRules(rules.hedge.share, rules.hedge.quantile))


def splits_of(factory: Factory, services: Sequence[Served]) -> dict[str, Split]:
    """Names that several services share. A service without an upstream has no part."""
    by_name = {one.name: one for one in services}
    found = {}
    for name, rule in factory.serve.splits.items():
        parts = [(by_name[s], weight) for s, weight in rule.weights.items() if s in by_name and weight]
        if not parts:
            raise InputError(f"serve.splits.{name}: none of its services has an upstream")
        found[name] = Split(name, parts, rule.by)
    return found


def _routers(
    service: Service, upstreams: Sequence[Upstream], seed: int, rules: BreakerRules
) -> tuple[Router, Router | None]:
    """Of those that answer, and of those that read prompts for them. Each pool has the policy for itself, as in the twin."""
    if not service.prefill:
        return _router(service, upstreams, seed, rules), None
    pools = {role: [u for u in upstreams if u.role == role] for role in ROLES}
    decoding = service.model_copy(update={"kv_weight": 0.0})  # caches of prompts are at the prefill pool
    return _router(decoding, pools["decode"], seed, rules), _router(service, pools["prefill"], seed, rules)


def _router(service: Service, upstreams: Sequence[Upstream], seed: int, rules: BreakerRules) -> Router:
    policy = ROUTING.index(service.routing)
    if policy == KV_AWARE and len(upstreams) > 1:
        return PrefixRouter(service.name, upstreams, seed, rules, service.kv_weight)
    return Router(service.name, upstreams, policy, seed, rules)


def open_upstreams(services: Sequence[Served], sweep: Sweep, loop: asyncio.AbstractEventLoop) -> None:
    """Those that are not open yet."""
    for served in services:
        for upstream in (u for router in served.routers for u in router.listed):
            if not upstream.opened:
                upstream.open(sweep, loop)
