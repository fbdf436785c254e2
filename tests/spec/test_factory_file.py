"""The factory file: quantities, validation, messages made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks import spec
from tokenworks.errors import InputError, SpecError
from tokenworks.physics.fleet import fleet
from tokenworks.spec import quantities as q

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
GOOD = """factory: tulsa
site:
  power: {budget: 1 MW, scope: facility}
systems:
  - {id: rack, system: gb200-nvl72}
services:
  - name: reasoner
    model: deepseek-r1
    precision: nvfp4
    engine: tensorrt-llm
    workers: 9
    tp: 8
    ep: 8
    slo: {ttft_p95: 2 s, tpot_p95: 25 ms}
workload:
  - {service: reasoner, trace: azure-2023-conversation, scale: 70% of sustainable}
run: {horizon: 1 h, seed: 7}
"""


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        spec.loads(text, "factory.yaml")
    return str(caught.value)


def test_values_arrive_in_si_units():
    factory = spec.loads(GOOD)
    assert factory.site.power.budget_w == 1e6
    assert factory.services[0].slo.tpot_p95_s == 0.025
    assert factory.run.horizon_s == 3600
    assert factory.workload[0].scale.kind == "sustainable"
    assert factory.workload[0].scale.value == pytest.approx(0.7)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_right_and_survive_a_round_trip(path):
    factory = spec.load(path)
    again = spec.loads(factory.to_yaml(), factory.source_file)
    assert again == factory


MESSAGES = [
    (("deepseek-r1", "deepseek-r1-0905"), 'factory.yaml:8:12  services[0].model: no model "deepseek-r1-0905". Did you mean deepseek-r1, deepseek-v3.1, deepseek-v3?'),
    (("ep: 8", "ep: 32"), "factory.yaml:13:9  services[0].ep: 32 expert-parallel ranks need 32 GPUs; one worker has 8 (tp × dp_attention)"),
    (("ep: 8", "ep: 5"), "factory.yaml:13:9  services[0].ep: deepseek-r1 has 256 experts, which ep = 5 does not divide"),
    (("tp: 8", "tp: 7"), "factory.yaml:12:9  services[0].tp: deepseek-r1 has 128 attention heads, which tp = 7 does not divide"),
    (("workers: 9", "workers: 10"), "factory.yaml:7:5  services[0]: services need 80 GPUs of rack (reasoner 80); it has 72"),
    (("1 MW", "-1 MW"), "factory.yaml:3:19  site.power.budget: '-1 MW' is negative"),
    (("1 MW", "1 MJ"), "factory.yaml:3:19  site.power.budget: unknown unit 'MJ' in '1 MJ'; known are 'W', 'kW', 'MW', 'GW'"),
    (("25 ms", "nan ms"), "factory.yaml:14:36  services[0].slo.tpot_p95: 'nan ms' is not a quantity; write for example '25 ms'"),
    (("25 ms", "25"), "factory.yaml:14:36  services[0].slo.tpot_p95: 25 has no unit; write for example '25 ms'"),
    (("    engine:", "    enginee:"), "factory.yaml:10:14  services[0].enginee: unknown key. Did you mean engine, engine_version?"),
    (("service: reasoner", "service: reasoners"), "factory.yaml:16:15  workload[0].service: no service 'reasoners'; known are reasoner"),
    (("70% of sustainable", "70 percent"), "factory.yaml:16:64  workload[0].scale: '70 percent' is not a scale; write \"70% of sustainable\", \"2x\" or \"12 req/s\""),
    (("nvfp4", "fp99"), 'factory.yaml:9:16  services[0].precision: no precision "fp99". Did you mean'),
    (("site:\n", "site:\n  cooling: air\n"), "systems[0].system: gb200-nvl72 draws 125 kW a rack and needs liquid cooling; this site is cooled by air, at most 50 kW a rack. What would fit: superpod-b200-su (41.6 kW), "),
    (("site:\n", "site:\n  rack_limit: 60 kW\n"), "systems[0].system: gb200-nvl72 draws 125 kW; a rack of this site may draw 60 kW. What would fit: superpod-b200-su (41.6 kW)"),
    (("    workers: 9\n", "    workers: 9\n    workers: 3\n"), "factory.yaml:12:5  services[0].workers: this key stands twice"),
    (("trace: azure-2023-conversation, ", ""), "factory.yaml:16:5  workload[0]: give either a trace, a mix, arrivals or agents"),
    (("factory: tulsa", "factory: [tulsa"), "not valid YAML"),
    (("gb200-nvl72}", "gb200-nvl73}"), 'factory.yaml:5:24  systems[0].system: no system "gb200-nvl73". Did you mean gb200-nvl72'),
    (("seed: 7", "seed: -1"), "factory.yaml:17:27  run.seed: -1 is too small: at least 0"),
    (("seed: 7", "seed: 7, cells: 0"), "factory.yaml:17:37  run.cells: 0 is too small: at least 1"),
    (("seed: 7", "seed: 7, warmup: 2 h"), "run.warmup: a warm-up of 7200 s leaves nothing of a horizon of 3600 s"),
    (("1 h", "3 y"), "run.horizon: '3 y' is too much: at most 2 y"),
    (("25 ms", "infinity ms"), "slo.tpot_p95: 'infinity ms' is not a quantity; write for example '25 ms'"),
    (("scope: facility", "scope: rack"), "factory.yaml:3:32  site.power.scope: 'rack' is not one of 'board', 'it' or 'facility'"),
    (("workers: 9", "workers: 0"), "factory.yaml:11:14  services[0].workers: 0 is too small: at least 1"),
    (("factory: tulsa\n", ""), "factory.yaml:1:1  needs 'factory'"),
    (("  - name: reasoner", "  - name: reasoner\n    prefill: {workers: 1}"), "services[0]: a disaggregated service needs both prefill and decode"),
    (("    workers: 9\n", "    workers: 9\n    memory_fraction: 120%\n"), "factory.yaml:12:22  services[0].memory_fraction: '120%' is too much: at most 100%"),
    (("    workers: 9\n", "    workers: 9\n    speculative: {draft_tokens: 1, tokens_per_step: 3}\n"), "at most 2 tokens a step from 1 draft tokens"),
    (("    workers: 9\n", "    workers: 9\n    routing: kv\n"), "factory.yaml:12:14  services[0].routing: 'kv' is not one of 'round-robin'"),
    (("    workers: 9\n", "    workers: 9\n    lora: {adapters: 0}\n"), "services[0].lora.adapters: 0 is too small: at least 1"),
    (("    workers: 9\n", "    workers: 9\n    lora: {rank: 8}\n"), "services[0].lora: needs 'adapters'"),
    (("ep: 8", "redundant_experts: 32"), "services[0].redundant_experts: copies of experts need expert parallelism; ep is 1"),
    (("ep: 8", "ep: 8\n    redundant_experts: 30"), "factory.yaml:14:24  services[0].redundant_experts: 256 experts and 30 copies cannot be cut into ep = 8; 32 copies can"),
    (("ep: 8", "ep: 8\n    redundant_experts: 2000"), "with 1792 copies each of 8 ranks holds all 256 experts of deepseek-r1; 2000 are more"),
    (("    tp: 8\n    ep: 8\n", "    overlap: two-batch\n"), "services[0].tp: two-batch overlap hides communication between GPUs; one worker has one"),
    (("    workers: 9\n", "    workers: 9\n    micro_batches: 2\n"), "factory.yaml:12:20  services[0].micro_batches: at most one a stage is worth having; pp is 1"),
    (("    workers: 9\n", "    workers: 9\n    on: rackk\n"), "factory.yaml:12:9  services[0].on: no system 'rackk'; known are rack"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MESSAGES, ids=[m[0][1].strip()[:24] for m in MESSAGES])
def test_messages(change, message):
    assert change[0] in GOOD
    assert message in problems(GOOD.replace(change[0], change[1], 1))


def test_several_errors_at_once():
    text = problems(GOOD.replace("1 MW", "1 MJ").replace("25 ms", "-25 ms").replace("seed: 7", "sed: 7"))
    assert text.endswith("3 errors. Nothing was run.")


def test_no_mapping_no_file():
    assert "a factory file is a mapping" in problems("- a\n- b\n")
    with pytest.raises(InputError, match="no such file"):
        spec.load("/nowhere/factory.yaml")


def test_replace_revalidates():
    factory = spec.loads(GOOD)
    changed = factory.replace("services.reasoner.precision", "fp8")
    assert (changed.services[0].precision, factory.services[0].precision) == ("fp8", "nvfp4")
    assert factory.replace("run.seed", "9").run.seed == 9
    assert factory.replace("site.power.budget", "2 MW").site.power.budget_w == 2e6
    with pytest.raises(SpecError, match="which tp = 7 does not divide"):
        factory.replace("services.0.tp", 7)
    with pytest.raises(SpecError, match="Did you mean reasoner"):
        factory.replace("services.reasonr.tp", 4)
    with pytest.raises(SpecError, match="unknown key"):
        factory.replace("services.reasoner.tpp", 4)


@settings(derandomize=True, max_examples=80)
@given(value=st.floats(1e-6, 1e15), unit=st.sampled_from(sorted(q.WATTS)))
def test_watts_round_trip(value, unit):
    watts = q.parse(f"{value!r} {unit}", q.WATTS, "1 kW")
    assert watts == pytest.approx(value * q.WATTS[unit])
    assert q.parse(f"{watts:.12g} W", q.WATTS, "1 kW") == pytest.approx(watts, rel=1e-9)


@settings(derandomize=True, max_examples=80)
@given(text=st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text):
    try:
        assert q.parse(text, q.SECONDS, "25 ms") >= 0
    except ValueError as error:
        assert str(error)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_any_file_answers_with_problems(text):
    with pytest.raises(SpecError):
        spec.loads(text, "f.yaml")


def test_winters_are_cold():
    assert spec.loads(GOOD.replace("site:\n", "site:\n  temperature: -10 C\n")).site.temperature_c == -10
    assert q.signed(12) == 12
    assert q.signed("-3.5 °C") == -3.5


def test_adapters_reach_the_deployment():
    plain = fleet(spec.loads(GOOD))[0].deployment
    assert (plain.lora_adapters, plain.lora_rank) == (0, 0)
    found = fleet(spec.loads(GOOD.replace("    ep: 8\n", "    ep: 8\n    lora: {adapters: 12}\n")))[0].deployment
    assert found == replace(plain, lora_adapters=12, lora_rank=16)


def test_overlap_and_fusion_reach_the_deployment():
    found = fleet(
        spec.loads(GOOD.replace("    ep: 8\n", "    ep: 8\n    overlap: two-batch\n    fused_all_reduce: true\n"))
    )[0].deployment
    assert found == replace(fleet(spec.loads(GOOD))[0].deployment, two_batch_overlap=True, fused_all_reduce=True)


def test_copies_and_micro_batches_belong_to_each_pool():
    pools = "    prefill: {tp: 8, ep: 8}\n    decode: {tp: 4, pp: 2, ep: 4, redundant_experts: 32, micro_batches: 1}\n"
    prefill, decode = fleet(spec.loads(GOOD.replace("    workers: 9\n", pools)))[0].groups
    assert (prefill.deployment.redundant_experts, decode.deployment.redundant_experts) == (0, 32)
    assert (prefill.deployment.micro_batches, decode.deployment.micro_batches) == (0, 1)


def test_encoders_are_loaded_unless_the_service_is_text_only():
    loaded = fleet(spec.loads(GOOD))[0].deployment
    assert loaded.encoder
    assert fleet(spec.loads(GOOD.replace("    ep: 8\n", "    ep: 8\n    encoder: false\n")))[0].deployment == replace(
        loaded, encoder=False
    )
