"""Pages of several processes as one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tokenworks.serve.metrics import HELP, ServiceMetrics, process_lines, service_lines
from tokenworks.serve.processes.board import Board, added


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
