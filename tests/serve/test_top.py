"""`top`: two pages of a gateway become what happens now; a real one, a restarted one, one that is not there."""

import asyncio
import json

import pytest
from live_gateway import Engine, front, run

from tokenworks.cli.main import main
from tokenworks.report.top_text import top_text
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.top.reach import reading
from tokenworks.serve.top.window import Reading, now, quantile


def page(answers: int, left: int, out: int, ttft: tuple[int, int, int], up: int = 1) -> str:
    """Of one service with two workers; TTFT's buckets are cumulative: up to 0.1 s, up to 0.2 s, all."""
    low, middle, everything = ttft
    return f"""# HELP tokenworks_active_requests Requests in progress.
tokenworks_active_requests{{service="a \\"b\\""}} 5
tokenworks_requests_total{{service="a \\"b\\"",status="200"}} {answers}
tokenworks_requests_total{{service="a \\"b\\"",status="499"}} {left}
tokenworks_requests_total{{service="a \\"b\\"",status="429"}} {answers // 10}
tokenworks_tokens_total{{service="a \\"b\\"",type="output"}} {out}
gen_ai_server_time_to_first_token_seconds_bucket{{service="a \\"b\\"",le="0.1"}} {low}
gen_ai_server_time_to_first_token_seconds_bucket{{service="a \\"b\\"",le="0.2"}} {middle}
gen_ai_server_time_to_first_token_seconds_bucket{{service="a \\"b\\"",le="+Inf"}} {everything}
tokenworks_upstream_up{{service="a \\"b\\"",upstream="0"}} 1
tokenworks_upstream_up{{service="a \\"b\\"",upstream="1"}} {up}
tokenworks_upstream_outstanding{{service="a \\"b\\"",upstream="0"}} 3
tokenworks_upstream_outstanding{{service="a \\"b\\"",upstream="1"}} 2
tokenworks_upstream_power_watts{{service="a \\"b\\"",upstream="0"}} 700
tokenworks_usd_per_hour 3.6
tokenworks_events_lost_total 0
"""


def between(first: str, second: str, seconds: float = 10.0):
    return now(Reading(100.0, samples(first)), Reading(100.0 + seconds, samples(second)))


def test_rates_and_percentiles_are_of_the_window_alone():
    (found,) = between(page(1000, 0, 50_000, (500, 900, 1000)), page(1100, 20, 57_000, (500, 980, 1100))).services
    assert (found.name, found.active, found.requests_s, found.left_s, found.refused_s) == ('a "b"', 5, 13.0, 2.0, 1.0)
    assert found.output_tokens_s == 700
    assert found.ttft_p50_s == pytest.approx(0.1 + 0.1 * 50 / 80)  # of the 100 new ones 80 lie between 0.1 and 0.2 s
    assert found.ttft_p95_s == 0.2  # beyond the last finite edge
    assert found.tpot_p50_s is None
    assert [(w.name, w.up, w.outstanding, w.watts) for w in found.workers] == [
        ("0", True, 3, 700.0),
        ("1", True, 2, None),
    ]


def test_a_restarted_gateway_counts_from_nothing():
    found = between(page(1000, 0, 50_000, (500, 900, 1000)), page(100, 0, 3_000, (10, 100, 100)))
    assert found.services[0].output_tokens_s == 300
    assert found.services[0].requests_s == 11


@pytest.mark.parametrize(("share", "value"), [(0.5, 1.5), (0.05, 1.05), (1.0, 2.0)])
def test_quantiles_as_prometheus_has_them(share, value):
    assert quantile([1.0, 2.0, float("inf")], [0, 10, 10], share) == pytest.approx(value)


def test_nothing_seen_is_no_quantile():
    assert quantile([1.0, float("inf")], [0, 0], 0.5) is None
    assert quantile([], [], 0.5) is None


def test_the_block_fits_a_terminal_and_says_what_is_down():
    text = top_text(
        between(page(1000, 0, 50_000, (500, 900, 1000)), page(1100, 20, 57_000, (500, 980, 1100), 0)), "here"
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "700 output tokens/s, 700 W, 1 tokens/J, $3.60/h, $1.43/Mtok" in text
    assert "   1  down" in text
    assert 'bad: a "b" 1/s refused, 2/s given up by callers' in text


def test_a_real_gateway(tmp_path, capsys):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            url = f"http://127.0.0.1:{gate.port}"
            before = await asyncio.to_thread(reading, url)
            for _ in range(3):
                await gate.post({"model": "chat", "messages": [{"role": "user", "content": "hi"}]})
            found = now(before, await asyncio.to_thread(reading, url))
            code = await asyncio.to_thread(main, ["top", url, "--once", "--json", "--every", "10 ms"])
            return found, code

    found, code = run(case())
    assert found.services[0].requests_s * found.seconds == pytest.approx(3)
    assert found.services[0].output_tokens_s * found.seconds == pytest.approx(9)
    assert code == 0
    (service,) = json.loads(capsys.readouterr().out)["services"]
    assert (service["name"], service["requests_s"]) == ("chat", 0)
    assert service["workers"] == [{"name": "0", "up": True, "outstanding": 0, "watts": None}]


def test_nobody_there_and_somebody_else(capsys, tmp_path):
    assert main(["top", "http://127.0.0.1:9", "--once"]) == 2
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    assert main(["top", "http://127.0.0.1:9", "--json"]) == 2
    assert "--json goes with --once" in capsys.readouterr().err
    assert main(["top", "http://127.0.0.1:9", "--every", "0 s"]) == 2
    assert "--every 0 s is above 0" in capsys.readouterr().err


def test_emulated_time_is_told_apart_from_the_walls():
    """10 times as fast: 700 tokens a second of the wall are 70 of the clock by which watts and dollars count."""
    more = (
        'tokenworks_upstream_energy_joules_total{service="a \\"b\\"",upstream="0"} 12345\n'
        'tokenworks_upstream_speed{service="a \\"b\\"",upstream="0"} 10\n'
    )
    found = between(page(1000, 0, 50_000, (500, 900, 1000)) + more, page(1100, 20, 57_000, (500, 980, 1100)) + more)
    assert (found.speed, found.joules, found.watts) == (10, 12345, 700)
    assert found.tokens_per_joule == pytest.approx(0.1)
    assert found.usd_per_mtok == pytest.approx(3.6 / 70 / 3600 * 1e6)
    lines = top_text(found, "http://127.0.0.1:8000").splitlines()
    assert lines[0] == "http://127.0.0.1:8000, the last 10 s, 12.3 kJ so far, emulated 10×"
    assert max(map(len, lines)) <= 80


def test_a_real_factory_says_nothing_of_emulation():
    found = between(page(1000, 0, 50_000, (500, 900, 1000)), page(1100, 20, 57_000, (500, 980, 1100)))
    assert (found.speed, found.joules, found.tokens_per_joule) == (1.0, None, 1.0)
    assert top_text(found, "here").splitlines()[0] == "here, the last 10 s"


def test_a_power_budget_and_what_it_holds_back():
    more = (
        'tokenworks_scaling_replicas{service="a \\"b\\"",kind="wanted"} 5\n'
        'tokenworks_scaling_replicas{service="a \\"b\\"",kind="granted"} GRANTED\n'
        'tokenworks_scaling_budget_watts{service="a \\"b\\""} 2600\n'
    )
    one, two = page(1000, 0, 50_000, (500, 900, 1000)), page(1100, 20, 57_000, (500, 980, 1100))
    text = top_text(between(one, two + more.replace("GRANTED", "2")), "here")
    assert 'power budget 2.6 kW: holds back replicas of a "b" 3 of 5' in text
    text = top_text(between(one, two + more.replace("GRANTED", "5")), "here")
    assert "power budget 2.6 kW: feeds all replicas that the load wants" in text
    assert "power budget" not in top_text(between(one, two), "here")
