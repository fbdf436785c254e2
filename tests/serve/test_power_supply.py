"""The gateway keeps to a power budget as the twin does: the same decisions in the same order, on one clock or the other."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from live_gateway import run
from power_cases import power_case
from twin_looks import Notebook, see, served

from tokenworks.control.scaling.autoscale import decide
from tokenworks.control.scaling.power import Budget, Pool
from tokenworks.rehearsal.supply import Draw
from tokenworks.serve.pages.steering_metrics import steering_lines
from tokenworks.serve.steer.fleet import Counts
from tokenworks.serve.steer.steering import ROLE, Pilot
from tokenworks.serve.steer.supply import Supply, local_day_s
from tokenworks.serve.upstreams.engine_page import state_of
from tokenworks.serve.upstreams.fed import Fed
from tokenworks.spec.fleet import pool_name
from tokenworks.twin import scaling
from tokenworks.twin.simulate import simulate

CURVE = np.array([70.0, 200.0, 250.0, 300.0])


def recorded(seed, monkeypatch):
    """A twin's run under a budget: what each pool saw, and how many replicas it was then given, in the order of the looks."""
    cell, load, options = power_case(seed)
    looks, seen_last = [], {}

    def write(rules, memory, seen):
        seen_last["it"] = seen
        return decide(rules, memory, seen)

    def noted(budget, standing, pool, wanted, limit_w, watts):
        after = scaling_grant(budget, standing, pool, wanted, limit_w, watts)
        looks.append((pool, seen_last["it"], wanted, after.told[pool]))
        return after

    scaling_grant = scaling.grant
    with monkeypatch.context() as patched:
        patched.setattr(scaling, "grant", noted)
        simulate(replace(cell, scaling=tuple(replace(p, decide=write) for p in cell.scaling)), load, options)
    return cell, looks


def test_the_same_observations_give_the_same_replicas(monkeypatch):
    """Several pools share a budget that changes; the gateway's counters are set to what the twin's services had counted at
    each look; nothing else is told."""
    held = changed = 0
    for seed in range(60):
        cell, looks = recorded(seed, monkeypatch)
        if not looks:
            continue
        clock, names = [0.0], [str(i) for i in range(len(cell.scaling))]
        pools = [pool_name(name, ROLE[p.rules.role]) for name, p in zip(names, cell.scaling, strict=True)]
        supply = Supply(
            cell.budget, pools, [p.rules.start for p in cell.scaling], dict.fromkeys(pools, Draw(CURVE, 1.0))
        )
        pilots = [
            Pilot(
                served(name=name, role=plan.rules.role),
                plan.rules,
                Notebook(),
                clock=lambda clock=clock: clock[0],
                supply=supply,
            )
            for name, plan in zip(names, cell.scaling, strict=True)
        ]
        taken = []
        for pool, seen, wanted, told in looks:
            pilot = pilots[pool]
            clock[0] = seen.now_s
            see(pilot.served, pilot.rules.role, seen)
            pilot._fleet.now = Counts(seen.ready, seen.loading)
            run(pilot.look())
            (fed,) = pilot.served.fed.values()
            taken.append((fed.wanted, fed.granted) == (wanted, told))
            held += told < wanted
        assert all(taken)
        for pool, pilot in enumerate(pilots):
            given = [told for p, _, _, told in looks if p == pool]
            changes = [told for i, told in enumerate(given) if i == 0 or told != given[i - 1]]
            assert pilot._fleet.told == changes
            changed += len(changes) - 1
    assert held > 20
    assert changed > 20


def supply(limit_w=1000.0, replica_w=300.0):
    budget = Budget(((0.0, limit_w),), 0.0, 0.0, (Pool(0, 1, replica_w), Pool(1, 0, replica_w)))
    return Supply(budget, ["chat", "batch"], [1, 0], {"chat": Draw(CURVE, replica_w), "batch": Draw(CURVE, replica_w)})


def page(watts, speed=None):
    """As the lookout reads an engine's, with a DCGM exporter's lines of two GPUs beside them."""
    lines = ["vllm:num_requests_running 1"]
    lines += [f'DCGM_FI_DEV_POWER_USAGE{{gpu="{i}"}} {watts / 2}' for i in range(2) if watts is not None]
    lines += [f"tokenworks_worker_speed {speed}"] if speed else []
    return state_of("\n".join(lines) + "\n")


def measured(of, watts, outstanding, speed=None, looks=100):
    chat = served()
    for i in (0, 1):
        chat.router.engines[i], chat.router.outstanding[i] = page(watts, speed), outstanding
    for _ in range(looks):
        of.measure("chat", chat.router)
    return of.replica_w("chat")


def test_boards_that_draw_more_than_their_model_leave_room_for_fewer():
    of = supply()
    assert of.grant("chat", 3, 0.0, 15.0) == 3
    assert measured(of, 360.0, 3) == pytest.approx(360.0, rel=1e-3)  # the model says 300 W with three requests
    assert of.grant("chat", 3, 0.0, 15.0) == 2
    assert of.replica_w("batch") == 300.0


def test_boards_that_draw_less_leave_room_for_more():
    of = supply()
    assert of.grant("chat", 9, 0.0, 15.0) == 3
    assert measured(of, 160.0, 1) == pytest.approx(240.0, rel=1e-3)  # with one request 160 W, not 200 W
    assert of.grant("chat", 9, 0.0, 15.0) == 4


def test_an_idle_board_is_held_against_an_idle_model():
    assert measured(supply(), 70.0, 0) == pytest.approx(300.0)


def test_pages_of_emulated_workers_and_pages_without_watts_teach_nothing():
    assert measured(supply(), 900.0, 1, speed=5.0) == 300.0
    assert measured(supply(), None, 1) == 300.0


def test_real_engines_live_in_the_day_of_their_machine(monkeypatch):
    monkeypatch.setattr(
        "tokenworks.serve.steer.supply.time.localtime", lambda: SimpleNamespace(tm_hour=17, tm_min=2, tm_sec=3)
    )
    assert local_day_s(0.0) == 17 * 3600 + 123
    day = ((0.0, 2000.0), (17 * 3600.0, 500.0), (18 * 3600.0, 2000.0))
    budget = Budget(day, 0.0, 0.0, (Pool(0, 0, 300.0),))
    of = Supply(budget, ["chat"], [0], {"chat": Draw(CURVE, 300.0)}, local_day_s)
    assert of.grant("chat", 5, 0.0, 15.0) == 1


def test_the_page_says_what_is_held_back_and_why():
    of, chat = supply(), served()
    assert not [name for name in steering_lines(chat) if "scaling" in name]
    fed = chat.fed.setdefault("", Fed())
    for wanted in (2, 5, 5):
        fed.note(wanted, of.grant("chat", wanted, 0.0, 15.0), of.limit_w(0.0, 15.0), of.replica_w("chat"))
    lines = [line for part in steering_lines(chat).values() for line in part]
    assert 'tokenworks_scaling_held_total{service="chat",reason="power"} 2' in lines
    assert 'tokenworks_scaling_replicas{service="chat",kind="wanted"} 5' in lines
    assert 'tokenworks_scaling_replicas{service="chat",kind="granted"} 3' in lines
    assert 'tokenworks_scaling_budget_watts{service="chat"} 1000' in lines
    fed.note(5, 5, float("inf"), 300.0)
    assert not [name for name in steering_lines(chat) if "budget" in name]


def test_each_pool_of_a_service_has_its_lines():
    chat = served()
    for number, role in enumerate(("prefill", "decode"), 1):
        chat.fed.setdefault(role, Fed()).note(number, number, 1000.0, 300.0)
    lines = steering_lines(chat)["tokenworks_scaling_replicas"]
    assert 'tokenworks_scaling_replicas{service="chat",pool="prefill",kind="wanted"} 1' in lines
    assert 'tokenworks_scaling_replicas{service="chat",pool="decode",kind="wanted"} 2' in lines
