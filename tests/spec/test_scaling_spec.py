"""What the factory file may say of scaling and fleets, and how it says what is wrong."""

import pytest

from tokenworks.api import load
from tokenworks.errors import SpecError
from tokenworks.serve.building import upstreams_of

FILE = """
factory: day
systems: [{id: box, system: dgx-h100}]
services:
  - {name: chat, model: llama-3.1-8b, precision: fp8, workers: 4, scaling: {SCALING}}
workload: [{service: chat, arrivals: {kind: poisson}, scale: 2 req/s}]
run: {horizon: 60 s, RUN}
serve: {SERVE}
"""


def factory(tmp_path, scaling="{}", run="seed: 1", serve="{}"):
    file = tmp_path / "day.yaml"
    text = FILE.replace("SCALING}", "X}").replace("{X}", scaling).replace("RUN", run).replace("{SERVE}", serve)
    file.write_text(text)
    return load(str(file))


def test_defaults_and_writing_back(tmp_path):
    made = factory(tmp_path, "{min: 0, max: 3, predictor: holt-winters, season: 1 d, start_up: 40 s}")
    scaling = made.services[0].scaling
    assert (scaling.least, scaling.most, scaling.start, scaling.season_s) == (0, 3, None, 86400.0)
    again = tmp_path / "again.yaml"
    again.write_text(made.to_yaml())
    assert load(str(again)).services[0].scaling == scaling


@pytest.mark.parametrize(
    ("scaling", "said"),
    [
        ("{max: 5}", "5 replicas, but the pool has 4 workers"),
        ("{min: 3, max: 2}", "3 replicas at least, but 2 at most"),
        ("{min: 1, max: 3, start: 4}", "between 1 and 3 are possible"),
        ("{season: 1 d}", "kalman knows no season: choose holt-winters"),
        ("{predictor: holt-winters, season: 20 s}", "two looks at least"),
        ("{predictor: prophet}", "holt-winters"),
        ("{every: 0 s}", "too little"),
        ("{target: 120%}", "too much"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, scaling, said):
    with pytest.raises(SpecError, match=said):
        factory(tmp_path, scaling)


def test_one_router_domain(tmp_path):
    with pytest.raises(SpecError, match="leave run"):
        factory(tmp_path, run="cells: 2")


PROCESSES = "{command: [engine, --port, '{port}'], port: 9000}"


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ("{service: chat}", "either processes or kubernetes"),
        ("{service: chatt, processes: " + PROCESSES + "}", "no service 'chatt'; known are chat"),
        ("{service: chat, kubernetes: {name: x}}", "list the address of chat under serve.upstreams"),
        (
            "{service: chat, processes: {command: ['{host}'], port: 1}}",
            "only {port}, {replica} and {bootstrap_port} are filled in",
        ),
    ],
)
def test_fleets_that_do_not_fit(tmp_path, fleet, said):
    with pytest.raises(SpecError, match=said):
        factory(tmp_path, serve="{fleets: [" + fleet + "]}")


def test_a_fleet_that_fits(tmp_path):
    made = factory(tmp_path, serve="{fleets: [{service: chat, processes: " + PROCESSES + "}]}")
    assert made.serve.fleets[0].processes.command == ("engine", "--port", "{port}")


def split(tmp_path, serve="{}", decode="scaling: {min: 1}", engine="vllm"):
    pools = "engine: ENGINE, prefill: {workers: 2, scaling: {min: 0}}, decode: {workers: 2, DECODE}"
    text = FILE.replace("workers: 4, scaling: {SCALING}", pools).replace("ENGINE", engine).replace("DECODE", decode)
    file = tmp_path / "split.yaml"
    file.write_text(text.replace("RUN", "seed: 1").replace("{SERVE}", serve))
    return load(str(file))


def test_pools_have_their_own(tmp_path):
    with pytest.raises(SpecError, match="a decode pool keeps a replica"):
        split(tmp_path, decode="scaling: {min: 0}")
    assert split(tmp_path).services[0].scaled


def fleets(*roles):
    rows = [f"{{service: chat, role: {role}, processes: {PROCESSES}}}".replace("role: none, ", "") for role in roles]
    return "{fleets: [" + ", ".join(rows) + "]}"


def test_fleets_of_pools(tmp_path):
    made = split(tmp_path, fleets("prefill", "decode"))
    upstreams = upstreams_of(made)["chat"]
    assert [(u.role, u.url) for u in upstreams] == [
        (role, f"http://127.0.0.1:{9000 + k}") for role in ("prefill", "decode") for k in range(2)
    ]
    assert [u.bootstrap_port for u in upstreams[:2]] == [8998, 8999]


@pytest.mark.parametrize(
    ("roles", "more", "said"),
    [
        (["none"], {}, "say role: prefill or role: decode"),
        (["prefill"], {}, "chat has no decode upstream"),
        (["prefill", "prefill", "decode"], {}, "'chat/prefill' has a fleet already"),
        (
            ["prefill", "decode"],
            {"decode": "tp: 1"},
            r"chat/decode is not scaled: give it services\[\]\.decode\.scaling",
        ),
        (["prefill", "decode"], {"engine": "tensorrt-llm"}, "no handover of 'tensorrt-llm' is known"),
    ],
)
def test_fleets_of_pools_that_do_not_fit(tmp_path, roles, more, said):
    with pytest.raises(SpecError, match=said):
        split(tmp_path, fleets(*roles), **more)


def test_a_role_where_there_are_no_pools(tmp_path):
    with pytest.raises(SpecError, match="chat has no pools: leave role out"):
        factory(tmp_path, serve=fleets("prefill"))
