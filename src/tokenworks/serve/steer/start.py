"""From the factory file to pilots that steer its services for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from tokenworks.control.scaling.autoscale import Rules
from tokenworks.control.scaling.capacity import SERVE
from tokenworks.errors import UnsupportedError
from tokenworks.rehearsal.plant import Plant, plant
from tokenworks.serve.emulate.address import EmulatedUpstream
from tokenworks.serve.served import Served
from tokenworks.serve.steer.emulated import EmulatedStarter
from tokenworks.serve.steer.fleet import Fleet
from tokenworks.serve.steer.gated import GatedFleet
from tokenworks.serve.steer.kubernetes import KubernetesFleet, Resource, client_of
from tokenworks.serve.steer.processes import Command, ProcessStarter
from tokenworks.serve.steer.steering import Pilot
from tokenworks.serve.steer.supply import Supply, local_day_s
from tokenworks.spec.factory import Factory
from tokenworks.spec.fleet import Kubernetes, Processes


def scaled_plant(factory: Factory) -> Plant | None:
    """None where no service is scaled. Raises UnsupportedError for pools of prefill or decode workers."""
    if not any(s.scaling or s.prefill for s in factory.services):
        return None
    made = plant(factory, clocks=False)  # a gateway changes no clocks
    for plan in made.cell.scaling:
        if plan.rules.role != SERVE:
            name = made.cell.services[plan.service].name
            raise UnsupportedError(
                f"{name}: prefill and decode pools are scaled in the twin only; give the service workers"
            )
    return made


def rules_of(made: Plant | None) -> dict[str, Rules]:
    """By service."""
    return {made.cell.services[plan.service].name: plan.rules for plan in made.cell.scaling} if made else {}


def supply_of(made: Plant | None, emulated: bool) -> Supply | None:
    """Emulated engines live in the file's day, which begins at ``run.start``, real ones in that of this machine."""
    if made is None or made.cell.budget is None:
        return None
    names = [made.cell.services[plan.service].name for plan in made.cell.scaling]
    draws = {plan.name: made.draws[made.cell.workers[plan.workers[0]]] for plan in made.cell.services if plan.workers}
    start = [plan.rules.start for plan in made.cell.scaling]
    return Supply(made.cell.budget, names, start, draws, None if emulated else local_day_s)


@asynccontextmanager
async def steered(factory: Factory, services: Sequence[Served], speed: float = 0.0) -> AsyncIterator[list[Pilot]]:
    """Pilots at work. ``speed``: of emulated engines; 0: real ones, by the file's fleets. Raises InputError where a fleet cannot
    be reached at all."""
    made = scaled_plant(factory)
    rules, supply = rules_of(made), supply_of(made, emulated=speed > 0)
    fleets = _emulated(services, rules, speed) if speed else _real(factory, services)
    pilots = [
        Pilot(s, rules[s.name], fleets[s.name], speed or 1.0, supply=supply)
        for s in services
        if s.name in rules and s.name in fleets
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
        (s.name, place): upstream.turn
        for s in services
        for place, upstream in enumerate(s.router.upstreams)
        if isinstance(upstream, EmulatedUpstream)
    }
    fleet = GatedFleet(EmulatedStarter({name: of.load_s for name, of in rules.items()}, speed, switches))
    found: dict[str, Fleet] = {}
    for served in services:
        if served.name in rules:
            fleet.add(served.name, served.router, rules[served.name].start)
            found[served.name] = fleet
    return found


def _real(factory: Factory, services: Sequence[Served]) -> dict[str, Fleet]:
    of = {f.service: f for f in factory.serve.fleets}
    commands = {name: command_of(f.processes) for name, f in of.items() if f.processes}
    gated, found = GatedFleet(ProcessStarter(commands)), dict[str, Fleet]()
    for served in services:
        fleet = of.get(served.name)
        if fleet and fleet.processes:
            gated.add(served.name, served.router)
            found[served.name] = gated
        elif fleet and fleet.kubernetes:
            client = client_of(fleet.kubernetes.context)
            found[served.name] = KubernetesFleet({served.name: resource_of(fleet.kubernetes)}, client)
    return found


def command_of(of: Processes) -> Command:
    return Command(of.command, of.port, of.health, of.patience_s, of.stop_s)


def resource_of(of: Kubernetes) -> Resource:
    return Resource(of.namespace, of.group, of.version, of.plural, of.name, of.field, of.ready_field)
