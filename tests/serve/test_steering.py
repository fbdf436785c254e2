"""The live loop decides as the twin does; replicas start, drain, are taken back; dead ones are replaced."""

import asyncio
import sys
from dataclasses import replace

import pytest
from live_gateway import run
from scaling_cases import scaling_case
from twin_looks import Notebook, router, see, served

from tokenworks.control.scaling.autoscale import begin, decide
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE
from tokenworks.control.scaling.seen import Seen
from tokenworks.serve.call.course import Seat
from tokenworks.serve.http.request import Refused
from tokenworks.serve.steer import gated
from tokenworks.serve.steer.fleet import Counts, FleetError
from tokenworks.serve.steer.gated import GatedFleet
from tokenworks.serve.steer.processes import Command, ProcessStarter, healthy
from tokenworks.serve.steer.steering import Pilot
from tokenworks.twin.simulate import simulate


def recorded(seed):
    """What each pool of a twin's run saw, and how many replicas were wanted then."""
    cell, load, options = scaling_case(seed)
    looks = {}

    def write(rules, memory, seen):
        after = decide(rules, memory, seen)
        looks.setdefault(id(rules), (rules, []))[1].append((seen, after.replicas))
        return after

    simulate(replace(cell, scaling=tuple(replace(p, decide=write) for p in cell.scaling)), load, options)
    return [look for look in looks.values() if len(look[1]) > 3]


def test_the_same_observations_give_the_same_decisions():
    """Of services with one pool, and of prefill and decode pools."""
    changed, roles = 0, set()
    for rules, looks in [look for seed in range(20) for look in recorded(seed)]:
        roles.add(rules.role)
        clock, of, fleet = [0.0], served(role=rules.role), Notebook()
        pilot = Pilot(of, rules, fleet, clock=lambda clock=clock: clock[0])
        taken = []
        for seen, wanted in looks:
            clock[0] = seen.now_s
            see(of, rules.role, seen)
            fleet.now = Counts(seen.ready, seen.loading)
            run(pilot.look())
            taken.append((pilot.memory.replicas, wanted))
        assert all(mine == theirs for mine, theirs in taken)
        changes = [wanted for i, (_, wanted) in enumerate(taken) if i == 0 or wanted != taken[i - 1][1]]
        assert fleet.told == changes
        changed += len(changes) - 1
    assert changed > 10
    assert roles == {SERVE, PREFILL, DECODE}


def test_a_pool_keeps_what_it_starts_with_for_one_calm():
    """A gateway that has just been started has seen no load yet."""
    rules = recorded(0)[0][0]._replace(role=SERVE, least=1, most=4, start=4, every_s=10.0, calm_s=30.0)
    memory, replicas = begin(rules), []
    for look in range(1, 6):
        memory = decide(rules, memory, Seen(10.0 * look, 0, 0, 0, 0, 0, 0, 4, 0))
        replicas.append(memory.replicas)
    assert replicas == [4, 4, 4, 1, 1]


def test_a_fleet_that_fails_is_asked_again():
    rules = recorded(0)[0][0]._replace(least=2, most=2, start=2)
    fleet = Notebook()
    fleet.failures = 2
    pilot = Pilot(served(), rules, fleet, clock=lambda: 0.0)
    for _ in range(3):
        run(pilot.look())
    assert fleet.told == [2]


def test_what_somebody_else_has_undone_is_asked_for_again():
    rules, fleet = recorded(0)[0][0]._replace(least=2, most=2, start=2), Notebook()
    pilot = Pilot(served(), rules, fleet, clock=lambda: 0.0)
    for now in (Counts(1, 1), Counts(2, 0), Counts(5, 0), Counts(2, 0)):
        fleet.now = now
        run(pilot.look())
    assert fleet.told == [2, 2]


class Scripted:
    """A starter whose replicas take requests when the test says so."""

    def __init__(self):
        self.may, self.stopped, self.dead, self.begun = {}, [], set(), []

    async def start(self, service, place):
        self.begun.append(place)
        await self.may.setdefault(place, asyncio.Event()).wait()

    async def stop(self, service, place):
        self.stopped.append(place)

    def alive(self, service, place):
        return place not in self.dead

    async def let(self, place):
        self.may.setdefault(place, asyncio.Event()).set()
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gated, "LOOK_S", 0.005)
    monkeypatch.setattr(gated, "RETRY_S", 0.01)


def with_gate(work, count=3, ready=0):
    async def main():
        starter, routes = Scripted(), router(count)
        fleet = GatedFleet(starter)
        fleet.add("chat", routes, ready)
        try:
            await work(fleet, starter, routes)
        finally:
            await fleet.close()

    run(main())


def test_a_replica_takes_requests_when_it_has_started():
    async def work(fleet, starter, routes):
        with pytest.raises(Refused) as refused:
            routes.take(-1, 0.0)
        assert (refused.value.status, routes.refused, routes.arrived) == (503, 1, 1)
        await fleet.scale("chat", 2)
        await asyncio.sleep(0)
        assert await fleet.counts("chat") == Counts(0, 2)
        await starter.let(1)
        assert await fleet.counts("chat") == Counts(1, 1)
        assert {routes.take(-1, 0.0) for _ in range(3)} == {1}

    with_gate(work)


def test_one_that_drains_gets_no_more_and_stops_when_its_last_request_has_left():
    async def work(fleet, starter, routes):
        taken = [routes.take(-1, 0.0) for _ in range(3)]
        assert sorted(taken) == [0, 1, 2]
        await fleet.scale("chat", 1)
        await asyncio.sleep(0.03)
        assert starter.stopped == []
        assert {routes.take(-1, 0.0) for _ in range(4)} == {0}
        routes.release(2)
        await asyncio.sleep(0.03)
        assert starter.stopped == [2]
        await fleet.scale("chat", 2)  # 1 still drains: it is taken back, warm
        assert await fleet.counts("chat") == Counts(2, 0)
        await asyncio.sleep(0.03)
        assert starter.stopped == [2]
        assert starter.begun == []

    with_gate(work, ready=3)


def test_one_whose_cache_is_being_fetched_does_not_stop():
    """Its prefill is answered, so it is no load to the policy; but the decode engine still reads from it."""

    async def work(fleet, starter, routes):
        seat = Seat(routes, 2, None)
        seat.lend()
        await fleet.scale("chat", 2)
        await asyncio.sleep(0.03)
        assert starter.stopped == []
        seat.take_back()
        await asyncio.sleep(0.03)
        assert starter.stopped == [2]

    with_gate(work, ready=3)


def test_a_start_that_is_not_wanted_any_more_is_undone_and_begun_anew():
    async def work(fleet, starter, routes):
        await fleet.scale("chat", 1)
        await asyncio.sleep(0.01)
        await fleet.scale("chat", 0)
        await fleet.scale("chat", 1)  # before the first start knows
        await asyncio.sleep(0.01)
        assert starter.begun == [0, 0]
        await starter.let(0)
        assert await fleet.counts("chat") == Counts(1, 0)

    with_gate(work)


def test_one_that_died_is_replaced():
    async def work(fleet, starter, routes):
        starter.dead.add(0)
        assert await fleet.counts("chat") == Counts(1, 1)
        assert routes.take(-1, 0.0) == 1
        starter.dead.clear()
        await starter.let(0)
        assert await fleet.counts("chat") == Counts(2, 0)

    with_gate(work, ready=2, count=2)


SERVER = """
import http.server, sys, signal
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404); self.end_headers()
    def log_message(self, *_): pass
if len(sys.argv) > 2: signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


def command(tmp_path, port, *more, code=SERVER, health="/health", patience_s=30.0):
    file = tmp_path / "server.py"
    file.write_text(code)
    return Command((sys.executable, str(file), "{port}", *more), port, health, patience_s, stop_s=0.3)


def free_port():
    import socket

    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@pytest.mark.parametrize("deaf", [(), ("deaf",)])
def test_a_process_is_started_healthy_and_stopped(tmp_path, deaf):
    async def main():
        port = free_port()
        starter = ProcessStarter({"chat": command(tmp_path, port, *deaf)})
        await starter.start("chat", 0)
        assert await healthy(port, "/health")
        assert not await healthy(port, "/other")
        assert starter.alive("chat", 0)
        await starter.stop("chat", 0)
        assert not await healthy(port, "/health")
        assert not starter.alive("chat", 0)

    run(main())


def test_a_process_that_ends_or_is_never_well_is_an_error(tmp_path):
    async def main():
        wrong = {
            "ends": command(tmp_path, 1, code="raise SystemExit(3)"),
            "none": Command(("/no/such/program",), 1, "/", 1.0, 1.0),
        }
        starter = ProcessStarter(wrong)
        with pytest.raises(FleetError, match="ended with 3"):
            await starter.start("ends", 0)
        with pytest.raises(FleetError, match="No such file"):
            await starter.start("none", 0)
        starter = ProcessStarter({"ill": command(tmp_path, free_port(), health="/ill", patience_s=1.5)})
        with pytest.raises(FleetError, match=r"not healthy within 1\.5 s"):
            await starter.start("ill", 0)
        assert not starter.alive("ill", 0)

    run(main())


def test_a_killed_process_is_started_again(tmp_path):
    async def main():
        import os
        import signal

        port, routes = free_port(), router(1)
        starter = ProcessStarter({"chat": command(tmp_path, port)})
        fleet = GatedFleet(starter)
        fleet.add("chat", routes)
        await fleet.scale("chat", 1)

        async def until(counts):
            while await fleet.counts("chat") != counts:
                await asyncio.sleep(0.02)

        await until(Counts(1, 0))
        first = starter._running["chat", 0]
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        await until(Counts(1, 0))
        assert starter._running["chat", 0].pid != first.pid
        await fleet.close()
        assert not await healthy(port, "/health")

    run(main())
