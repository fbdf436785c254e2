"""The files themselves: the same bytes each time, YAML that reads back, names that Kubernetes takes, whole examples by hand,
and what a target cannot run is refused with the next best."""

import re

import pytest
import yaml
from export_parsers import OBJECTS, commands, documents, engine_configs, pods_of, split, table, unknown_fields
from export_services import factories, factory_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenworks.api import examples, load
from tokenworks.errors import CapacityError, InputError, UnsupportedError
from tokenworks.plan.export import TARGETS, Options, export
from tokenworks.plan.export.compose import place
from tokenworks.plan.export.names import LONGEST, label, unique
from tokenworks.plan.export.units import units

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
OBJECT_OF = {
    "LeaderWorkerSet": "leader-worker-set", "PodCliqueSet": "pod-clique-set", "LLMInferenceService": "llm-inference-service",
    "EndpointPickerConfig": "endpoint-picker",
}  # fmt: skip


def exported(factory, target):
    return export(factory, target, options=Options(images={s.name: "registry.local/image:1" for s in factory.services}))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(factory=factories())
def test_files_are_the_same_each_time_valid_and_known(factory):
    for target in TARGETS:
        try:
            made = exported(factory, target)
        except (UnsupportedError, CapacityError):
            continue
        again = exported(type(factory).model_validate(factory.model_dump(by_alias=True)), target)
        assert made == again
        for name, content in made.files.items():
            assert re.fullmatch(r"[a-z0-9.-]+\.(sh|yaml)", name)
            if name.endswith(".yaml"):
                _check(target, name, documents(content))


def _check(target, name, found):
    for document in found:
        kind = document.get("kind")
        if kind:
            assert LABEL.fullmatch(document["metadata"]["name"]) if kind != "EndpointPickerConfig" else True
            assert unknown_fields(document, OBJECTS.get(OBJECT_OF.get(kind, ""), "")) == []
        for pod in pods_of(document):
            for main in pod["containers"]:
                assert all(isinstance(w, str) for w in [*main.get("command", []), *main.get("args", [])])
    if name.endswith("-values.yaml"):
        assert unknown_fields(found[0], OBJECTS["nim" if target == "nim" else "llm-d"]) == []
    if target == "dynamo":
        assert unknown_models(found[-1], table("dynamo")["models"]) == []
    for config in engine_configs({name: yaml.dump_all(found).encode()}).values():
        assert unknown_fields(config, OBJECTS["tensorrt-llm"]) == []


def unknown_models(graph, models):
    """Fields of a DynamoGraphDeployment that its model classes do not have."""
    bad = [k for k in graph if k not in models["Config"]] + [k for k in graph["spec"] if k not in models["Spec"]]
    for part in graph["spec"]["components"]:
        bad += [k for k in part if k not in models["Component"]]
        bad += [k for k in part["podTemplate"]["spec"] if k not in models["PodSpec"]]
        for main in part["podTemplate"]["spec"]["containers"]:
            bad += [k for k in main if k not in models["Container"]]
    return bad


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_secret_is_asked_for_or_written(target):
    made = exported(factory_of({"engine": "vllm", "tp": 4, "precision": "fp8"}), target)
    for content in made.files.values():
        plain = "\n".join(x for x in content.decode().splitlines() if not x.startswith("#"))
        assert not re.search(r"(?i)secret|token:|api_key|password|hf_token", plain)


GOLDEN_VLLM = """exec vllm serve /models/deepseek-r1-fp8_block \\
  --served-model-name chat \\
  --tensor-parallel-size 1 \\
  --pipeline-parallel-size 1 \\
  --data-parallel-size 8 \\
  --enable-expert-parallel \\
  --enable-eplb \\
  --eplb-config '{"num_redundant_experts":32}' \\
  --max-num-seqs 128 \\
  --max-num-batched-tokens 4096 \\
  --enable-chunked-prefill \\
  --gpu-memory-utilization 0.92 \\
  --kv-cache-dtype fp8 \\
  --enable-prefix-caching \\
  --kv-offloading-size 100 \\
  --speculative-config '{"method":"mtp","num_speculative_tokens":1}' \\
  --enable-dbo \\
  --port "${PORT:-8000}" \\
  "$@"
"""
GOLDEN_SGLANG = """exec python3 -m sglang.launch_server \\
  --model-path /models/deepseek-r1-fp8_block \\
  --served-model-name chat \\
  --tp-size 8 \\
  --attn-dp-size 8 \\
  --pp-size 1 \\
  --ep-size 8 \\
  --enable-eplb \\
  --ep-num-redundant-experts 32 \\
  --max-running-requests 1024 \\
  --chunked-prefill-size 32768 \\
  --max-prefill-tokens 4096 \\
  --mem-fraction-static 0.92 \\
  --kv-cache-dtype fp8_e4m3 \\
  --enable-hierarchical-cache \\
  --hicache-size 107 \\
  --speculative-algorithm NEXTN \\
  --speculative-num-steps 1 \\
  --speculative-eagle-topk 1 \\
  --speculative-num-draft-tokens 2 \\
  --enable-two-batch-overlap \\
  --host 0.0.0.0 \\
  --port "${PORT:-30000}" \\
  "$@"
"""
WIDE = {
    "model": "deepseek-r1", "precision": "fp8_block", "kv_precision": "fp8", "dp_attention": 8, "ep": 8,
    "redundant_experts": 32, "max_seqs": 128, "token_budget": 4096, "memory_fraction": 0.92, "prefix_cache": True,
    "kv_tiers": [{"name": "host", "capacity": "858.9934592 GB"}],  # 800 GiB
    "speculative": {"kind": "mtp", "draft_tokens": 1, "tokens_per_step": 1.8}, "overlap": "two-batch",
}  # fmt: skip


@pytest.mark.parametrize(("engine", "golden"), [("vllm", GOLDEN_VLLM), ("sglang", GOLDEN_SGLANG)])
def test_command_by_hand(engine, golden):
    """Wide expert parallelism on one server of eight GPUs, worked out by hand from the engines' documentation."""
    made = export(factory_of(WIDE | {"engine": engine}), engine)
    assert made.files["chat.sh"].decode().split("\n", 1)[1].split("exec ", 1)[1] == golden.removeprefix("exec ")


def test_the_config_file_says_what_the_command_says():
    for engine in ("vllm", "sglang"):
        made = export(factory_of(WIDE | {"engine": engine}), engine)
        known = table(engine)["flags"]
        words = commands(engine, made.files)["chat"]
        flags, _ = split(words[next(i for i, w in enumerate(words) if w.startswith("--")) :], known)
        config = documents(made.files["chat.yaml"])[0]
        assert all(f"--{key}" in known for key in config)
        told = {f"--{k}": [] if v is True else [str(v)] for k, v in config.items()}
        assert {k: v for k, v in flags.items() if k not in ("--port", "--host")} == {
            k: v for k, v in told.items() if k != "--model"
        }


def test_disaggregated_pools_find_each_other():
    """Two prefill and one decode worker of SGLang: the router names every pod, with the bootstrap port of prefill."""
    pools = {"prefill": {"workers": 2, "tp": 2}, "decode": {"workers": 1, "tp": 4}}
    made = export(
        factory_of({"engine": "sglang", "model": "gpt-oss-120b", "precision": "mxfp4", **pools}), "kubernetes"
    )
    words = commands("kubernetes", made.files)["chat-router"]
    assert words[:4] == ["python3", "-m", "sglang_router.launch_router", "--pd-disaggregation"]
    first, second = "http://chat-prefill-0.chat-prefill:30000", "http://chat-prefill-1.chat-prefill:30000"
    assert words[4:12] == [
        "--prefill",
        first,
        "8998",
        "--prefill",
        second,
        "8998",
        "--decode",
        "http://chat-decode-0.chat-decode:30000",
    ]
    found = {(d["kind"], d["metadata"]["name"]): d for d in documents(made.files["chat.yaml"])}
    assert found["LeaderWorkerSet", "chat-prefill"]["spec"]["replicas"] == 2
    assert ("Service", "chat") in found


def test_a_replica_over_several_hosts():
    """16 GPUs on trays of 4: a group of 4 pods, each with 4 GPUs, joined over the leader's address."""
    service = {"model": "deepseek-r1", "precision": "fp8_block", "tp": 16, "ep": 16}
    made = export(factory_of(service | {"engine": "vllm"}, "gb200-nvl72", 1), "kubernetes")
    group = next(d for d in documents(made.files["chat.yaml"]) if d["kind"] == "LeaderWorkerSet")["spec"][
        "leaderWorkerTemplate"
    ]
    leader, worker = (group[t]["spec"]["containers"][0] for t in ("leaderTemplate", "workerTemplate"))
    assert group["size"] == 4
    assert leader["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    joined = ["--nnodes", "4", "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)"]
    assert " ".join(joined) in " ".join(leader["args"])
    assert worker["args"] == [*leader["args"], "--headless"]
    graph = documents(export(factory_of(service | {"engine": "vllm"}, "gb200-nvl72", 1), "dynamo").files["chat.yaml"])[
        -1
    ]
    assert graph["spec"]["components"][1]["multinode"] == {"nodeCount": 4}


def test_compose_fills_hosts_without_sharing_a_gpu():
    """Five replicas of four GPUs on servers of eight: two, two and one; two kinds of file."""
    factory = factory_of({"engine": "vllm", "tp": 4, "precision": "fp8", "workers": 5})
    hosts = place(units(factory, None, Options()))
    assert [[r.first_gpu for r in h] for h in hosts] == [[0, 4], [0, 4], [0]]
    made = export(factory, "compose")
    assert list(made.files) == ["box.compose.yaml", "box-2.compose.yaml"]
    services = documents(made.files["box.compose.yaml"])[0]["services"]
    gpus = [d for s in services.values() for d in s["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]]
    assert gpus == [str(g) for g in range(8)]
    assert len({p for s in services.values() for p in s["ports"]}) == 2


REFUSED = [
    ("nim", {"engine": "vllm", "tp": 4}, "has a NIM of its own; name it with --image 'chat="),
    ("nim", {"engine": "vllm", "prefill": {"tp": 2}, "decode": {"tp": 2}}, "use --to dynamo for separate workers"),
    (
        "kubernetes",
        {"engine": "vllm", "prefill": {"tp": 2}, "decode": {"tp": 2}},
        "use --to dynamo, --to llm-d or --to kserve",
    ),
    ("compose", {"engine": "sglang", "prefill": {"tp": 8}, "decode": {"tp": 8}}, "take 16 GPUs, one host has 8"),
    ("kserve", {"engine": "sglang", "prefill": {"tp": 2}, "decode": {"tp": 2}}, "of vLLM only, not of sglang"),
    (
        "vllm",
        {"engine": "vllm", "max_seqs": 512, "token_budget": 256},
        "a token_budget of at least max_seqs = 512, not 256",
    ),
    ("kubernetes", {"engine": "atom"}, "no export for the engine atom"),
    ("vllm", {"engine": "vllm", "model": "deepseek-r1", "precision": "fp8_block"}, "leave no KV cache on 1 x h200-sxm"),
    ("vlm", {"engine": "vllm"}, "no target 'vlm'; .* Did you mean vllm"),
]


@pytest.mark.parametrize(("target", "service", "said"), REFUSED)
def test_what_a_target_cannot_run_is_refused(target, service, said):
    with pytest.raises(InputError, match=said):
        export(factory_of({"precision": "fp8", **service}), target)


def test_names_and_hosts_that_are_not_known():
    factory = factory_of({"engine": "vllm", "tp": 4, "precision": "fp8"})
    with pytest.raises(InputError, match=r"no service 'x'; there are chat"):
        export(factory, "vllm", "x")
    with pytest.raises(InputError, match=r"no service 'x'"):
        export(factory, "vllm", options=Options(weights={"x:draft": "/a"}))
    rubin = factory_of({"engine": "vllm", "tp": 4, "precision": "fp8"}, "rubin-ultra-nvl576", 1)
    with pytest.raises(InputError, match="give --node-gpus N"):
        export(rubin, "vllm")
    assert export(rubin, "vllm", options=Options(node_gpus=8)).files
    amd = factory_of({"engine": "vllm", "tp": 4, "precision": "fp8"}, "mi355x-8", 1)
    with pytest.raises(InputError, match="no image of vllm for AMD is known; name one: --image chat=IMAGE"):
        export(amd, "kubernetes")
    made = export(amd, "kubernetes", options=Options(images={"chat": "rocm/vllm:x"}))
    assert b"amd.com/gpu" in made.files["chat.yaml"]


def test_weights_of_ones_own():
    options = Options(weights={"chat": "me/mine", "chat:draft": "me/draft"})
    draft = {"kind": "draft", "draft_tokens": 3, "tokens_per_step": 2}
    factory = factory_of({"engine": "vllm", "tp": 4, "precision": "fp8", "speculative": draft})
    text = export(factory, "kubernetes", options=options).files["chat.yaml"].decode()
    assert "me/mine" in text
    assert '"model":"me/draft"' in text
    assert "persistentVolumeClaim" not in text


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=6, unique=True))
def test_labels_are_valid_and_different(texts):
    found = unique(texts)
    assert list(found) == texts
    assert len(set(found.values())) == len(texts)
    assert all(LABEL.fullmatch(n) and len(n) <= LONGEST + 3 for n in found.values())
    assert all(label(n) == n for n in map(label, texts))


def test_every_example_is_exported_somewhere():
    for name in examples():
        factory = load(name)
        made = export(factory, "vllm")
        assert {s.service for s in made.settings} == {s.name for s in factory.services}
        assert b"exec vllm serve" in next(iter(made.files.values()))


def test_the_readers_of_these_tests_see_what_is_wrong():
    """A test that cannot fail is a defect: unknown flags, wrong values and unknown fields are found."""
    flags = table("vllm")["flags"]
    wrong = [
        "--tensor-paralel-size",
        "2",
        "--max-num-seqs",
        "many",
        "--enable-lora",
        "yes",
        "--kv-cache-dtype",
        "fp7",
        "--port",
    ]
    assert len(split(wrong, flags)[1]) == 5
    assert split(["--tensor-parallel-size", "2"], flags) == ({"--tensor-parallel-size": ["2"]}, [])
    assert unknown_fields({"spec": {"replica": 1}}, OBJECTS["leader-worker-set"]) == [".spec.replica"]
    assert unknown_models(
        {"spec": {"components": [{"podTemplate": {"spec": {"containers": [{"cmd": []}]}}}]}}, table("dynamo")["models"]
    ) == ["cmd"]
