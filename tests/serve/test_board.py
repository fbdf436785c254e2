"""Pages of several processes as one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tokenworks.serve.pages.board import Board, added
from tokenworks.serve.processes.role_gateway import _upstreams
from tokenworks.serve.processes.settings import FactoryText, GatewaySettings
from tokenworks.serve.telemetry.metrics import HELP, ServiceMetrics, process_lines, service_lines


def lines(metrics):
    return service_lines("chat", metrics)


@given(st.lists(st.lists(st.tuples(st.sampled_from([200, 429, 499]), st.floats(0.0, 200.0)), max_size=8), max_size=4))
def test_the_sum_of_pages_is_the_page_of_all(answers):
    whole, parts = ServiceMetrics(), []
    for one in answers:
        part = ServiceMetrics()
        for status, seconds in one:
            for metrics in (part, whole):
                metrics.answered(status)
                metrics.duration.observe(seconds)
                metrics.tokens["input"] += 7
        parts.append(lines(part))
    found = added(parts)
    if parts:
        want = lines(whole)
        for name in want:
            assert as_numbers(found[name]) == as_numbers(want[name])


def as_numbers(page):
    return Counter({line.rpartition(" ")[0]: round(float(line.rpartition(" ")[2]), 4) for line in page})


def test_counters_of_a_dead_process_stay_and_its_gauges_go(tmp_path):
    first, other = ServiceMetrics(), ServiceMetrics()
    first.answered(200)
    first.active = 3
    other.answered(200)
    other.active = 1
    Board(tmp_path, 0, 2).put([lines(first)])
    Board(tmp_path, 1, 2).put([lines(other)])
    again = Board(tmp_path, 0, 2)
    fresh = ServiceMetrics()
    fresh.answered(200)
    again.put([lines(fresh)])
    again.put([lines(fresh)])  # a page takes the place of the one before, it is not added to it
    page = again.all()
    assert page["tokenworks_requests_total"] == ['tokenworks_requests_total{service="chat",status="200"} 3']
    assert page["tokenworks_active_requests"] == ['tokenworks_active_requests{service="chat"} 1']


def test_what_does_not_add_up_is_the_least(tmp_path):
    for place, (up, start) in enumerate([(1, 50.0), (0, 40.0)]):
        part = {
            "tokenworks_upstream_up": [f'tokenworks_upstream_up{{service="chat",upstream="0"}} {up}'],
            "process_start_time_seconds": [f"process_start_time_seconds {start}"],
        }
        Board(tmp_path, place, 2).put([part])
    page = Board(tmp_path, 0, 2).all()
    assert page["tokenworks_upstream_up"][0].endswith(" 0")
    assert page["process_start_time_seconds"] == ["process_start_time_seconds 40.0"]


def test_every_metric_has_a_kind(tmp_path):
    board = Board(tmp_path, 0, 1)
    board.put([lines(ServiceMetrics()), process_lines()])
    assert set(board.all()) <= set(HELP)


def test_what_engines_say_of_themselves_is_nobodys_sum_and_not_kept_for_the_dead(tmp_path):
    """An engine that was started anew counts from nothing: what a dead process had read of it does not stand in the way."""
    name = "tokenworks_upstream_energy_joules_total"
    part = lambda joules: {name: [f'{name}{{service="chat",upstream="0"}} {joules}']}  # noqa: E731
    Board(tmp_path, 0, 2).put([part("5000.000")])
    Board(tmp_path, 1, 2).put([part("5001.000")])
    assert Board(tmp_path, 0, 2).all() == part("5001.000")
    for place in (0, 1):
        Board(tmp_path, place, 2).put([part("2.000")])
    assert Board(tmp_path, 0, 2).all() == part("2.000")


def test_gateway_processes_look_at_the_pages_of_emulated_workers():
    engines = {"chat": [("http://127.0.0.1:9/0", None), ("http://127.0.0.1:9/1", "decode")]}
    settings = GatewaySettings(FactoryText("", ""), 0, 1, 0, "", None, "", None, ("", ""), None, None, [], engines)
    found = _upstreams(settings, None)["chat"]
    assert [u.metrics for u in found] == ["http://127.0.0.1:9/0/metrics", "http://127.0.0.1:9/1/metrics"]
    assert [u.role for u in found] == [None, "decode"]
