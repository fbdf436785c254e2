"""Random factories for the tests of the export: one service with settings of all kinds that a file may have."""

from hypothesis import assume
from hypothesis import strategies as st

from tokenworks.spec.checks import check
from tokenworks.spec.factory import Factory

SYSTEMS = {"hgx-h200": 4, "gb200-nvl72": 1, "hgx-b200": 2}
MODELS = ("deepseek-r1", "llama-3.3-70b", "gpt-oss-120b", "qwen3-vl-30b-a3b")


def factory_of(service, system="hgx-h200", count=4, **others):
    """A factory with one service; its settings by the names of the file."""
    made = {"name": "chat", "model": "llama-3.3-70b", "workers": 1, **service}
    if "prefill" in made:
        del made["workers"]
    load = {"service": made["name"], "trace": "azure-2023-conversation"}
    whole = {
        "factory": "made",
        "systems": [{"id": "box", "system": system, "count": count}],
        "services": [made],
        "workload": [load],
    }
    return Factory.model_validate(whole | others)


DEGREES = [(tp, pp, dp) for tp in (1, 2, 4, 8) for pp in (1, 2) for dp in (1, 2, 8) if tp * pp * dp <= 8]


@st.composite
def workers(draw, experts, pool=False):
    tp, pp, dp = draw(st.sampled_from(DEGREES))
    made = {
        "tp": tp,
        "pp": pp,
        "dp_attention": dp,
        "ep": draw(st.sampled_from(sorted({1, tp * dp, min(2, tp * dp)}))) if experts else 1,
    }
    if made["ep"] > 1 and draw(st.booleans()):
        made["redundant_experts"] = made["ep"] * draw(st.integers(1, 4))
    if pp > 1 and draw(st.booleans()):
        made["micro_batches"] = draw(st.sampled_from([1, 2]))
    if draw(st.integers(0, 3)) == 0:
        made["clock"] = draw(st.sampled_from(["88%", "52%"]))
    if draw(st.booleans()):
        made |= {"max_seqs": draw(st.integers(1, 2048)), "token_budget": draw(st.integers(2048, 32768))}
    return made | ({"workers": draw(st.integers(1, 3))} if pool else {})


@st.composite
def services(draw):
    made = {
        "name": draw(st.sampled_from(["chat", "Größe 1", "a_b", "70B (prod)"])),
        "model": draw(st.sampled_from(MODELS)),
    }
    experts = made["model"] != "llama-3.3-70b"
    made |= {"engine": draw(st.sampled_from(["vllm", "sglang", "tensorrt-llm"]))}
    made |= {"precision": draw(st.sampled_from(["bf16", "fp8", "fp8_block", "nvfp4", "mxfp4", "w4a16"]))}
    made |= {"kv_precision": draw(st.sampled_from(["bf16", "fp8"])), "routing": draw(st.sampled_from(ROUTINGS))}
    if draw(st.integers(0, 2)) == 0:
        made |= {role: draw(workers(experts, pool=True)) for role in ("prefill", "decode")}
    else:
        made |= draw(workers(experts)) | {"workers": draw(st.integers(1, 4))}
    for key, value in OPTIONS.items():
        if draw(st.booleans()):
            made[key] = draw(value)
    return made


ROUTINGS = ["round-robin", "random", "least-loaded", "power-of-two", "session", "kv-aware"]
tier = st.fixed_dictionaries(
    {"name": st.sampled_from(["host", "nvme", "shared"]), "capacity": st.sampled_from(["100 GB", "2 TB", "512 GB"])},
    optional={"bandwidth": st.just("40 GB/s")},
)
speculative = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["mtp", "eagle", "ngram", "draft"]),
        "draft_tokens": st.integers(1, 8),
        "tokens_per_step": st.just(1.5),
    }
)
OPTIONS = {
    "memory_fraction": st.sampled_from([0.8, 0.85, 0.92]),
    "chunked_prefill": st.booleans(),
    "prefix_cache": st.booleans(),
    "kv_tiers": st.lists(tier, min_size=1, max_size=3),
    "speculative": speculative,
    "encoder": st.booleans(),
    "lora": st.fixed_dictionaries({"adapters": st.integers(1, 32), "rank": st.integers(1, 512)}),
    "fused_all_reduce": st.booleans(),
    "overlap": st.sampled_from(["none", "two-batch"]),
    "max_waiting": st.integers(1, 5000),
    "timeout": st.just("30 s"),
    "slo": st.just({"ttft_p95": "2 s", "tpot_p95": "50 ms", "e2e_p95": "40 s"}),
}


@st.composite
def factories(draw):
    system = draw(st.sampled_from(sorted(SYSTEMS)))
    made = factory_of(draw(services()), system, SYSTEMS[system])
    assume(not check(made))
    return made
