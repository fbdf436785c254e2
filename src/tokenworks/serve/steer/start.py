"""From the factory file to pilots that steer its services, or their pools, for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from tokenworks.control.scaling.autoscale import Rules
from tokenworks.rehearsal.plant import Plant, plant
from tokenworks.serve.emulate.address import EmulatedUpstream
from tokenworks.serve.steer.emulated import EmulatedStarter
from tokenworks.serve.steer.fleet import Fleet
from tokenworks.serve.steer.gated import GatedFleet
from tokenworks.serve.steer.kubernetes import KubernetesFleet, Resource, client_of
from tokenworks.serve.steer.processes import Command, ProcessStarter
from tokenworks.serve.steer.steering import ROLE, Pilot
from tokenworks.serve.steer.supply import Supply, local_day_s
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.factory import Factory
from tokenworks.spec.fleet import Kubernetes, Processes, pool_name
from tokenworks.spec.pool_checks import ROLES
from tokenworks.twin.cell import ScalingPlan


def scaled_plant(factory: Factory) -> Plant | None:
    """None where nothing is scaled. A gateway changes no clocks."""
    return plant(factory, clocks=False) if any(s.scaled for s in factory.services) else None


def rules_of(made: Plant | None) -> dict[str, Rules]:
    """By pool."""
    return {_pool(made, plan): plan.rules for plan in made.cell.scaling} if made else {}


def _pool(made: Plant, plan: ScalingPlan) -> str:
    return pool_name(made.cell.services[plan.service].name, ROLE[plan.rules.role])


def supply_of(made: Plant | None, emulated: bool) -> Supply | None:
    """Emulated engines live in the file's day, which begins at ``run.start``, real ones in that of this machine."""
    if made is None or made.cell.budget is None:
        return None
    cell = made.cell
    draws = {_pool(made, plan): made.draws[cell.workers[cell.pool(plan)[0]]] for plan in cell.scaling}
    start = [plan.rules.start for plan in cell.scaling]
    return Supply(made.cell.budget, [*draws], start, draws, None if emulated else local_day_s)


@asynccontextmanager
async def steered(factory: Factory, services: Sequence[Served], speed: float = 0.0) -> AsyncIterator[list[Pilot]]:
    """Pilots at work. ``speed``: of emulated engines; 0: real ones, by the file's fleets. Raises InputError where a fleet cannot
    be reached at all."""
    made = scaled_plant(factory)
    rules, supply = rules_of(made), supply_of(made, emulated=speed > 0)
    fleets = _emulated(services, rules, speed) if speed else _real(factory, services)
    pilots = [
        Pilot(served, rules[pool], fleets[pool], speed or 1.0, supply=supply)
        for pool, served, _ in pools_of(services)
        if pool in rules and pool in fleets
    ]
    tasks = [asyncio.get_running_loop().create_task(pilot.run()) for pilot in pilots]
    try:
        yield pilots
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for fleet in {id(f): f for f in fleets.values()}.values():
            await fleet.close()


def _emulated(services: Sequence[Served], rules: Mapping[str, Rules], speed: float) -> dict[str, Fleet]:
    """The first replicas are up at once, as in the twin."""
    switches = {
        (pool, place): upstream.turn
        for pool, _, router in pools_of(services)
        for place, upstream in enumerate(router.upstreams)
        if isinstance(upstream, EmulatedUpstream)
    }
    fleet = GatedFleet(EmulatedStarter({name: of.load_s for name, of in rules.items()}, speed, switches))
    found: dict[str, Fleet] = {}
    for pool, _, router in pools_of(services):
        if pool in rules:
            fleet.add(pool, router, rules[pool].start)
            found[pool] = fleet
    return found


def _real(factory: Factory, services: Sequence[Served]) -> dict[str, Fleet]:
    of = {f.pool: f for f in factory.serve.fleets}
    commands = {name: command_of(f.processes) for name, f in of.items() if f.processes}
    gated, found = GatedFleet(ProcessStarter(commands)), dict[str, Fleet]()
    for pool, _, router in pools_of(services):
        fleet = of.get(pool)
        if fleet and fleet.processes:
            gated.add(pool, router)
            found[pool] = gated
        elif fleet and fleet.kubernetes:
            client = client_of(fleet.kubernetes.context)
            found[pool] = KubernetesFleet({pool: resource_of(fleet.kubernetes)}, client)
    return found


def pools_of(services: Sequence[Served]) -> list[tuple[str, Served, Router]]:
    """What can be scaled: each service, or each of its pools, with its name in a fleet."""
    return [
        (pool_name(served.name, role), served, served.pool(role))
        for served in services
        for role in (ROLES if served.prefill else (None,))
    ]


def command_of(of: Processes) -> Command:
    return Command(of.command, of.port, of.health, of.patience_s, of.stop_s, of.bootstrap_port)


def resource_of(of: Kubernetes) -> Resource:
    return Resource(of.namespace, of.group, of.version, of.plural, of.name, of.field, of.ready_field)
