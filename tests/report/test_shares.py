"""What requests cost and draw sums to what their services do; the Python result speaks for itself."""

import numpy as np
import pytest

import tokenworks as tw
from tokenworks.report.summary import summary

FACTORY = tw.load("superpod-h200").replace_all({"run.horizon": "30 s", "run.warmup": "0 s"})


@pytest.fixture(scope="module")
def run():
    return tw.run(FACTORY, quiet=True)


def test_requests_pay_and_draw_what_their_services_do(run):
    table = run.requests()
    names = np.array(table["service"].to_pylist())
    for i, service in enumerate(run.result.services):
        mine = names == service.name
        assert np.array(table["usd"])[mine].sum() == pytest.approx(run.result.money.by_service_usd[i], rel=1e-9)
        assert np.array(table["joules"])[mine].sum() == pytest.approx(service.dynamic_j + service.static_j, rel=1e-9)
    assert min(table["usd"].to_pylist()) >= 0


def test_a_cached_prompt_is_cheaper_than_a_computed_one_and_not_free(run):
    money = run.result.money
    assert 0 < money.usd_per_mtok_cached < money.usd_per_mtok_input


def test_the_timeline_is_the_results(run):
    table, line = run.timeline(), run.result.timeline
    assert table.num_rows == line.waiting.size
    assert table["waiting"].to_pylist() == line.waiting.ravel().tolist()
    assert table["service"].to_pylist()[:: len(line.time_s)] == ["chat", "agent"]


def test_board_watts_by_purpose_sum_to_the_boards(run):
    line = run.result.timeline
    assert np.allclose(line.board_parts_w.sum(axis=0), line.board_w.sum(axis=0), rtol=1e-12)
    assert (line.board_parts_w >= -1e-6).all()
    parts = {p.label: p.value for p in run.result.energy.parts}
    static_j = line.board_parts_w[2].sum() * line.bucket_s
    assert static_j == pytest.approx(parts["static while stepping"], rel=1e-3)


def test_a_summary_shows_itself_as_the_report(run):
    found = summary(run.result)
    assert repr(found) == repr(run)
    assert found == run.summary
    assert found.usd_per_mtok == run.result.usd_per_mtok
    assert str(found).splitlines()[1].startswith(found.verdict[:60])
