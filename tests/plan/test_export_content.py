"""Every setting of a service is in the files of every target, with the value that the factory file gives it, or it is named
as one that the target cannot say."""

import json

import pytest
from export_parsers import commands, engine_configs, split, table
from export_services import factories, factory_of
from hypothesis import HealthCheck, given, settings

from tokenworks.errors import CapacityError, UnsupportedError
from tokenworks.physics.fleet import fleet
from tokenworks.plan.export import TARGETS, Options, export
from tokenworks.plan.export.units import units

FLAGS = {name: table(name)["flags"] for name in ("vllm", "sglang", "sglang-router", "dynamo")}
OWN = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "tensorrt-llm", "llm-d": "vllm"}  # targets with one engine
PROFILE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def exported(factory, target):
    images = {s.name: "registry.local/image:1" for s in factory.services}
    return export(factory, target, options=Options(images=images))


def engine_of(target, factory):
    """Whose flags the target writes for the only service."""
    planned = factory.services[0].engine
    if target == "nim":
        return "sglang" if planned == "sglang" else "vllm"
    return OWN.get(target, planned)


def flags_of(words):
    first = next((i for i, w in enumerate(words) if w.startswith("--")), len(words))
    return words[first:]


def read(engine, words, config):
    """Settings by the names of the factory file, from flags or arguments alone: how each engine documents them."""
    if engine == "tensorrt-llm":
        return read_arguments(config)
    found, problems = split(flags_of(words), FLAGS[engine] | FLAGS["dynamo"])
    assert problems == []
    return read_vllm(found) if engine == "vllm" else read_sglang(found)


def one(found, flag, kind=int):
    return kind(found[flag][0]) if flag in found else None


def read_vllm(f):
    spec = one(f, "--speculative-config", json.loads) or {}
    return {
        "tp": one(f, "--tensor-parallel-size"),
        "pp": one(f, "--pipeline-parallel-size"),
        "dp_attention": one(f, "--data-parallel-size"),
        "expert_parallel": "--enable-expert-parallel" in f,
        "max_seqs": one(f, "--max-num-seqs"),
        "token_budget": one(f, "--max-num-batched-tokens"),
        "kv_precision": {"fp8": "fp8", "bfloat16": "bf16"}[f["--kv-cache-dtype"][0]],
        "chunked_prefill": "--enable-chunked-prefill" in f and "--no-enable-chunked-prefill" not in f,
        "prefix_cache": "--enable-prefix-caching" in f and "--no-enable-prefix-caching" not in f,
        "speculative.kind": {"eagle3": "eagle", "draft_model": "draft"}.get(spec.get("method"), spec.get("method")),
        "speculative.draft_tokens": spec.get("num_speculative_tokens"),
        "lora.adapters": one(f, "--max-loras"),
        "redundant_experts": (one(f, "--eplb-config", json.loads) or {}).get("num_redundant_experts"),
        "encoder": "--language-model-only" not in f,
        "fused_all_reduce": (one(f, "--compilation-config", json.loads) or {}).get("pass_config")
        == {"fuse_allreduce_rms": True},
        "overlap": "--enable-dbo" in f,
        "role": {"kv_producer": "prefill", "kv_consumer": "decode"}.get(
            (one(f, "--kv-transfer-config", json.loads) or {}).get("kv_role")
        ),
    }


def read_sglang(f):
    dp, chunk = one(f, "--attn-dp-size"), one(f, "--chunked-prefill-size")
    tokens, ngram = one(f, "--speculative-num-draft-tokens"), f.get("--speculative-algorithm") == ["NGRAM"]
    kinds = {"NEXTN": "mtp", "EAGLE3": "eagle", "NGRAM": "ngram", "STANDALONE": "draft"}
    if chunk != -1:
        assert chunk == one(f, "--max-prefill-tokens") * dp
    return {
        "tp": one(f, "--tp-size") // dp,
        "pp": one(f, "--pp-size"),
        "dp_attention": dp,
        "ep": one(f, "--ep-size"),
        "max_seqs": one(f, "--max-running-requests") / dp,
        "token_budget": one(f, "--max-prefill-tokens"),
        "kv_precision": {"fp8_e4m3": "fp8", "bf16": "bf16"}[f["--kv-cache-dtype"][0]],
        "chunked_prefill": chunk != -1,
        "prefix_cache": "--disable-radix-cache" not in f,
        "speculative.kind": kinds.get((f.get("--speculative-algorithm") or [None])[0]),
        "speculative.draft_tokens": tokens and (tokens if ngram else tokens - 1),
        "lora.adapters": one(f, "--max-loras-per-batch"),
        "lora.rank": one(f, "--max-lora-rank"),
        "redundant_experts": one(f, "--ep-num-redundant-experts"),
        "encoder": "--language-model-only" not in f,
        "fused_all_reduce": "--flashinfer-allreduce-fusion-backend" in f,
        "overlap": "--enable-two-batch-overlap" in f,
        "role": one(f, "--disaggregation-mode", str),
    }


def read_arguments(c):
    spec, lora, dp = c.get("speculative_config", {}), c.get("lora_config", {}), c["enable_attention_dp"]
    kinds = {"MTP": "mtp", "Eagle3": "eagle", "NGram": "ngram", "Draft_Target": "draft"}
    return {
        "tp": 1 if dp else c["tensor_parallel_size"],
        "dp_attention": c["tensor_parallel_size"] if dp else 1,
        "pp": c["pipeline_parallel_size"],
        "ep": c.get("moe_expert_parallel_size", 1),
        "max_seqs": c["max_batch_size"],
        "token_budget": c["max_num_tokens"],
        "kv_precision": "fp8" if c["kv_cache_config"]["dtype"] == "fp8" else "bf16",
        "chunked_prefill": c["enable_chunked_prefill"],
        "prefix_cache": c["kv_cache_config"]["enable_block_reuse"],
        "speculative.kind": kinds.get(spec.get("decoding_type")),
        "speculative.draft_tokens": spec.get("num_nextn_predict_layers", spec.get("max_draft_len")),
        "lora.adapters": lora.get("max_loras"),
        "lora.rank": lora.get("max_lora_rank"),
    }


def wanted(unit):
    """The same settings from the factory."""
    d, s = unit.deployment, unit.service
    return {
        "tp": d.tp, "pp": d.pp, "dp_attention": d.dp, "ep": d.ep, "expert_parallel": d.ep > 1,
        "max_seqs": d.max_seqs, "token_budget": d.token_budget, "kv_precision": s.kv_precision,
        "chunked_prefill": d.chunked_prefill, "prefix_cache": d.prefix_cache,
        "speculative.kind": s.speculative and s.speculative.kind,
        "speculative.draft_tokens": s.speculative and s.speculative.draft_tokens,
        "lora.adapters": s.lora and s.lora.adapters, "lora.rank": s.lora and s.lora.rank,
        "redundant_experts": d.redundant_experts or None, "encoder": s.encoder,
        "fused_all_reduce": d.fused_all_reduce, "overlap": d.two_batch_overlap,
        "role": None if unit.role == "serve" else unit.role,
    }  # fmt: skip


@PROFILE
@given(factory=factories())
def test_settings_are_said_with_their_values_or_named(factory):
    for target in TARGETS:
        try:
            made = exported(factory, target)
        except (UnsupportedError, CapacityError) as error:
            assert str(error).startswith(factory.services[0].name)
            continue
        _compare(factory, target, made)
        _named(made)


def _compare(factory, target, made):
    told = {(s.role, s.name): s for s in made.settings}
    assert all(bool(s.by) != bool(s.why) for s in made.settings)
    words, configs = commands(target, made.files), engine_configs(made.files)
    for unit in units(factory, None, Options()):
        assert {name for role, name in told if role == unit.role} == set(unit.asked)
        engine = engine_of(target, factory)
        found = read(engine, words.get(unit.name, []), configs.get(unit.name))
        for name, value in wanted(unit).items():
            setting = told.get((unit.role, "ep" if name == "expert_parallel" else name))
            if name in found and (setting is None or setting.by):
                if target == "dynamo" and name == "role" and engine == "vllm":
                    assert ("--disaggregation-mode" in words[unit.name]) == (value is not None)
                assert found[name] == value, (name, setting)


def _named(made):
    """What is not said stands in the head of the files."""
    heads = "\n".join(
        line for body in made.files.values() for line in body.decode().splitlines() if line.startswith("#")
    )
    for s in made.not_said:
        assert f"{s.name} = {s.value}: {s.why}" in heads


CHANGES = {
    "model": "qwen2.5-72b", "precision": "bf16", "kv_precision": "fp8", "tp": 8, "pp": 2, "dp_attention": 2,
    "max_seqs": 77, "token_budget": 5555, "memory_fraction": 0.81, "clock": "76%", "chunked_prefill": False, "prefix_cache": True,
    "workers": 2, "routing": "session", "max_waiting": 99, "name": "other", "encoder": False, "fused_all_reduce": True,
    "overlap": "two-batch", "kv_tiers": [{"name": "host", "capacity": "640 GB"}],
    "speculative": {"kind": "ngram", "draft_tokens": 3, "tokens_per_step": 2}, "lora": {"adapters": 3, "rank": 64},
}  # fmt: skip


def body(made):
    """The files without their comments."""
    return {n: [line for line in b.decode().splitlines() if not line.startswith("#")] for n, b in made.files.items()}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_changed_setting_changes_the_files_or_is_named(target, engine):
    """By default it is on, by name it is off: a setting that is told as said makes a difference."""
    base = {"engine": engine, "tp": 4, "precision": "fp8"}
    plain = exported(factory_of(base), target)
    silent = []
    for name, value in CHANGES.items():
        made = exported(factory_of(base | {name: value}), target)
        said = [s for s in made.settings if s.name == name or s.name.startswith(f"{name}.")]
        assert said
        if any(s.by for s in said) and body(made) == body(plain):
            silent.append((name, said))
    assert silent == []


@pytest.mark.parametrize(
    ("system", "command"),
    [
        ("hgx-h200", "nvidia-smi -lgc 1742 (1,742 MHz)"),
        ("mi355x-8", "amd-smi set --gpu all --perf-determinism 2112 (2,112 MHz)"),
    ],
)
def test_a_lower_clock_is_named_with_the_command_of_the_host(system, command):
    """88% of 1,980 and of 2,400 MHz; at full clock there is nothing to say."""
    pools = {"prefill": {"tp": 1, "clock": "88%"}, "decode": {"tp": 1}}
    made = exported(factory_of(pools | {"precision": "fp8"}, system), "dynamo")
    said = {s.role: s for s in made.settings if s.name == "clock"}
    assert list(said) == ["prefill"]
    assert said["prefill"].value == "88%"
    assert said["prefill"].why == f"a setting of the host, not of the engine: {command}"
    assert said["prefill"].by == ""


def test_kv_cache_of_the_other_engines_holds_the_rehearsed_bytes():
    """vLLM's share of the device, SGLang's without reserve and TensorRT-LLM's share of the rest are one KV cache."""
    from tokenworks.physics.memory import memory_map
    from tokenworks.physics.step import Machine

    factory = factory_of({"engine": "tensorrt-llm", "tp": 4, "precision": "fp8", "memory_fraction": 0.9})
    sizes = memory_map(Machine.of(fleet(factory)[0].deployment, {}))
    words = {t: commands(t, exported(factory, t).files)["chat"] for t in ("vllm", "sglang")}
    share = float(words["vllm"][words["vllm"].index("--gpu-memory-utilization") + 1])
    static = float(words["sglang"][words["sglang"].index("--mem-fraction-static") + 1])
    free = engine_configs(exported(factory, "tensorrt-llm").files)["chat"]["kv_cache_config"][
        "free_gpu_memory_fraction"
    ]
    kv = sizes.kv + sizes.fixed_kv
    assert share * sizes.device - sizes.weights - sizes.encoder - sizes.reserve == pytest.approx(kv, rel=2e-3)
    assert static * sizes.device - sizes.weights - sizes.encoder == pytest.approx(kv, rel=2e-3)
    assert free * (sizes.device - sizes.weights - sizes.encoder - sizes.reserve) == pytest.approx(kv, rel=2e-3)
