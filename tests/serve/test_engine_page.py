"""Engines' metrics: their pages as they write them, and what routing makes of them."""

import asyncio
import time

import pytest
from live_gateway import Engine, front, run
from test_routing import router

from tokenworks.serve.pages.steering_metrics import steering_lines
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.upstreams.engine_page import EngineState, state_of
from tokenworks.serve.upstreams.lookout import MOST_BYTES, STALE, Look
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.factory import ROUTING

PAGES = {
    "vLLM, two data-parallel ranks": (
        """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B"} 12.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.1-8B"} 8.0
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 3.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B"} 0.61
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.25
vllm:num_requests_running_total{engine="1"} 999
""",
        EngineState(20, 3, 0.61, None),
    ),
    "an older vLLM": (
        'vllm:num_requests_running{model_name="a"} 1.0\nvllm:gpu_cache_usage_perc{model_name="a"} 2.5e-01 1750000000000\n',
        EngineState(1, None, 0.25, None),
    ),
    "SGLang": (
        'sglang:num_running_reqs{model_name="m",tp_rank="0"} 5\nsglang:num_queue_reqs{model_name="m"} 7\n'
        'sglang:token_usage{model_name="a \\"}b\\" c"} 0.5\n',
        EngineState(5, 7, 0.5, None),
    ),
    "TensorRT-LLM beside a DCGM exporter": (
        "trtllm_num_requests_running 4\ntrtllm_num_requests_waiting 0\ntrtllm_kv_cache_utilization 0.125\n"
        'DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1"} 401.5\nDCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-2"} 398.5\n',
        EngineState(4, 0, 0.125, 800.0),
    ),
    "vLLM beside a DCGM exporter that counts energy": (
        'vllm:num_requests_running 1\nDCGM_FI_DEV_POWER_USAGE{gpu="0"} 400\n'
        'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"} 1500\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="1"} 2500250\n',
        EngineState(1, None, None, 400.0, 2501.75),
    ),
    "an emulated worker": (
        "vllm:num_requests_running 1\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 9000\ntokenworks_worker_dynamic_joules_total 5.5\n"
        "tokenworks_worker_static_joules_total 2.5\ntokenworks_worker_idle_joules_total 1\ntokenworks_worker_speed 20\n",
        EngineState(1, None, None, None, 9.0, 3.5, 20.0),
    ),
    "llama.cpp": ("llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\r\n", EngineState(2, None, None, None)),
    "no figures": (
        "vllm:num_requests_running NaN\nvllm:num_requests_waiting -1\nx\n\n# {}",
        EngineState(None, None, None, None),
    ),
    "figures that no engine can have": (
        "vllm:num_requests_running 1e19\nvllm:num_requests_waiting 1e308\nvllm:num_requests_waiting 1e308\n"
        "vllm:kv_cache_usage_perc 0.5\nDCGM_FI_DEV_POWER_USAGE 1e308\nDCGM_FI_DEV_POWER_USAGE 1e308\n",
        EngineState(None, None, 0.5, None),
    ),
    "too many lines": ("vllm:num_requests_running 1\n" * 10_001, EngineState(None, None, None, None)),
    "a line that is not whole": (
        'vllm:num_requests_running{a="\nvllm:num_requests_running{\nvllm:num_requests_running 3\n",b="c"} 5\n',
        EngineState(3, None, None, None),
    ),
    "nothing": ("", EngineState(None, None, None, None)),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_engines(name):
    page, state = PAGES[name]
    assert state_of(page) == state


NAME = "vllm:num_requests_running"
ENDLESS = [
    f"{NAME}{{\n", f'{NAME}{{a="', f'{NAME}{{a="\n', f'{NAME}{{"\\', f"{NAME} ", f"{NAME}\t", f'{NAME}{{x="y"}} 1 2 ', NAME, '{"{"',
    f'{NAME}{{a="b" ', "\\", '"', "a", "x=", 'x="y', "1",
]  # fmt: skip


@pytest.mark.parametrize("piece", ENDLESS)
def test_a_page_takes_no_longer_than_its_length(piece):
    count = 300_000 // len(piece)
    begun = time.perf_counter()
    for page in (piece * count, NAME + "{" + piece * count, NAME + '{a="' + piece * count, NAME + " 1" + piece * count):
        state_of(page)
        samples(page)
        samples(page + '"} 1')
        samples(page + "} 1")
    assert time.perf_counter() - begun < 5


def test_the_real_engines_page(tmp_path):
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gguf")
    import urllib.request

    import tiny_engine
    import tiny_model

    tiny_model.write(tmp_path / "tiny.gguf")
    with tiny_engine.running(tmp_path / "tiny.gguf") as address:
        state = state_of(urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode())
    assert (state.running, state.waiting) == (0, 0)


def page(running, waiting=0, used=0.0):
    return f"vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\nvllm:kv_cache_usage_perc {used}\n".encode()


def told(look, body, status=200):
    look._asked, look._pieces = True, []
    look.answer_head(status, {})
    look.answer_body(body)
    look.answer_end()


def test_load_from_others_counts_and_ours_does_not_count_twice():
    gateway = router(ROUTING.index("least-loaded"), 2)
    look = Look(gateway, 0, "http://127.0.0.1:1/metrics")
    assert [gateway.take(-1, 0.0) for _ in range(2)] == [0, 1]
    look._own = gateway.outstanding[0]
    told(look, page(3, 2))  # five there, one of them ours
    assert gateway.elsewhere == [4, 0]
    assert [gateway.take(-1, 0.0) for _ in range(5)] == [1, 1, 1, 1, 0]
    look._own = 2
    told(look, page(1))
    assert gateway.elsewhere == [0, 0]


def test_a_full_cache_is_passed_over_while_others_have_room():
    gateway = router(ROUTING.index("round-robin"), 2)
    looks = [Look(gateway, i, "http://127.0.0.1:1/metrics") for i in range(2)]
    told(looks[0], page(0, used=0.99))
    assert [gateway.take(-1, 0.0) for _ in range(4)] == [1] * 4
    told(looks[1], page(0, used=0.99))
    assert {gateway.take(-1, 0.0) for _ in range(6)} == {0, 1}  # better than a refusal


def test_what_is_stale_is_forgotten():
    gateway = router(ROUTING.index("least-loaded"), 2)
    look = Look(gateway, 0, "http://127.0.0.1:1/metrics")
    told(look, page(9, used=1.0))
    for failures in range(1, STALE + 1):
        assert (gateway.elsewhere, gateway.crowded) == ([9, 0], [True, False])
        told(look, b"", 503) if failures == 1 else look.answer_broken("closed the connection", "broken")
    assert (gateway.elsewhere, gateway.crowded, gateway.engines[0]) == ([0, 0], [False, False], None)
    told(look, page(2))
    assert gateway.elsewhere == [2, 0]


class Line:
    """A connection that is given up."""

    abandoned = False

    def abandon(self):
        self.abandoned = True


@pytest.mark.parametrize("pieces", [[b"x" * (MOST_BYTES + 1)], [b"x" * 1000] * (MOST_BYTES // 1000 + 1)])
def test_a_page_that_is_too_large_is_given_up(pieces):
    look, line = Look(router(0, 2), 0, "http://127.0.0.1:1/metrics"), Line()
    look._asked = True
    look._taken(line)
    for piece in pieces:
        assert not line.abandoned
        look.answer_body(piece)
    assert (line.abandoned, look._asked, look._failures) == (True, False, 1)


def test_a_page_without_an_end_is_given_up_and_asked_for_again():
    look, line = Look(router(0, 2), 0, "http://127.0.0.1:1/metrics"), Line()
    look._asked = True
    look._taken(line)
    for _ in range(STALE):
        assert not line.abandoned
        look.answer_body(page(1))
        look.ask()
    assert (line.abandoned, look._asked, look._failures) == (True, False, 1)


def test_pages_are_asked_for_again_and_again(tmp_path):
    class Talking(Engine):
        running = 5

        def handle(self, request, connection):
            if request.path == b"/stats":
                connection.respond(200, page(self.running), b"text/plain")
            else:
                super().handle(request, connection)

    async def case():
        engine = Talking()
        async with front(tmp_path, engine, look="20 ms", upstream=lambda url: {"metrics": f"{url}/stats"}) as gate:
            router = gate.served[0].router
            seen = []
            for wanted in (5, 1):
                engine.running = wanted
                while router.elsewhere != [wanted]:
                    await asyncio.sleep(0.005)
                seen.append(wanted)
            return seen, (await gate.get("/v1/metrics"))[2].decode()

    seen, metrics = run(case())
    assert seen == [5, 1]
    assert 'tokenworks_upstream_elsewhere{service="chat",upstream="0"} 1\n' in metrics
    assert 'tokenworks_upstream_kv_used_ratio{service="chat",upstream="0"} 0\n' in metrics
    assert "# TYPE tokenworks_upstream_kv_used_ratio gauge" in metrics


def test_upstreams_are_numbered_alike_in_all_lines_after_one_of_them_has_gone():
    gateway = router(ROUTING.index("round-robin"), 3)
    for position, joules in enumerate((1000.0, 2000.0, 3e9 + 0.125)):
        gateway.reported(position, 0, False, EngineState(1, 0, 0.5, 300.0, joules))
    served = Served("chat", "m", gateway, 0, 0)
    gateway.positions = [0, 2]  # as after a factory file without the second one
    lines = steering_lines(served)
    assert lines["tokenworks_upstream_energy_joules_total"] == [
        'tokenworks_upstream_energy_joules_total{service="chat",upstream="0"} 1000.000',
        'tokenworks_upstream_energy_joules_total{service="chat",upstream="1"} 3000000000.125',
    ]
    assert "tokenworks_upstream_static_joules_total" not in lines
