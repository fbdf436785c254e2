"""Every fact has unit, source, date and status; the figures are physically sane; models count their parameters."""

import pytest

from tokenworks import catalog
from tokenworks.accuracy.packed import load_measurements
from tokenworks.catalog.engines import engine_rules, version_number
from tokenworks.errors import CatalogError

KINDS = [k for k in catalog.kinds() if k != "precisions"]
MEASURED = sorted({m.row.gpu for m in load_measurements()} - {"mixed-amd", "cpu-only"})
MODELS = sorted({m.row.model for m in load_measurements()} - {"llama-3.1-405b-pruned"})
ENGINES = sorted({m.row.engine for m in load_measurements()} - {""})


@pytest.mark.parametrize("kind", catalog.kinds())
def test_every_fact_is_sourced(kind):
    known = catalog.sources()
    for entry_id in catalog.ids(kind):
        entry = catalog.load(kind, entry_id)
        assert entry.id == entry_id
        for key, fact in entry.facts.items():
            assert fact.unit, (entry_id, key)
            assert fact.date, (entry_id, key)
            assert fact.source in known, (entry_id, key, fact.source)


@pytest.mark.parametrize(("kind", "ids"), [("accelerators", MEASURED), ("models", MODELS), ("engines", ENGINES)])
def test_everything_that_was_measured_is_there(kind, ids):
    assert set(ids) <= set(catalog.ids(kind))


def test_accelerators_are_sane():
    for accelerator in catalog.ids("accelerators"):
        e = catalog.load("accelerators", accelerator)
        if "memory_gb" not in e:
            assert e.fact("generation").status == "projection"
            continue
        assert 0.95 * e["memory_gb"] <= e["memory_usable_gb"] <= 1.1 * e["memory_gb"]
        assert e["idle_w"] < e["tdp_w"] / 2
        if "peak_fp8_tflops" in e and e["vendor"] in ("NVIDIA", "AMD"):
            assert e["peak_fp8_tflops"] >= 1.9 * e["peak_bf16_tflops"]


def test_smaller_formats_are_not_slower():
    for accelerator in catalog.ids("accelerators"):
        e = catalog.load("accelerators", accelerator)
        rates = [e.get(f"peak_{p}_tflops") for p in ("bf16", "fp8", "fp6", "fp4")]
        known = [rate for rate in rates if rate is not None]
        assert known == sorted(known), accelerator
        formats = e.get("tensor_formats") or []
        for wanted in ("fp4", "fp6", "fp8", "bf16"):
            if f"peak_{wanted}_tflops" in e:
                assert wanted in formats, (accelerator, wanted)


def test_projections_are_marked():
    for name in ("vera-rubin", "rubin-ultra", "feynman"):
        assert catalog.load("accelerators", name).fact("generation").status == "projection"
    assert "2027 and 2028" in catalog.load("accelerators", "feynman").fact("available").note


def attention_params(m: catalog.Entry) -> int:
    hidden, heads = m["hidden"], m["heads"]
    if m["attention"] == "mla":
        rank = m["q_lora_rank"]
        down = hidden * (rank + m["kv_lora_rank"] + m["qk_rope_dim"])
        up = (rank or hidden) * heads * (m["qk_nope_dim"] + m["qk_rope_dim"])
        up += m["kv_lora_rank"] * heads * (m["qk_nope_dim"] + m["v_head_dim"])
        return down + up + heads * m["v_head_dim"] * hidden
    if m["attention"] == "compressed":
        rank, out, width = m["q_lora_rank"], m["o_lora_rank"], heads * m["head_dim"]
        return hidden * (rank + m["head_dim"]) + rank * width + out * (width + m["o_groups"] * hidden)
    queries = 2 * heads + (heads if m.get("attention_output_gate") else 0)
    return hidden * (queries + 2 * m["kv_heads"]) * m["head_dim"]


MIXERS = ("full", "window", "topk", "compressed_4", "compressed_128", "uncompressed")


def computed_params_b(m: catalog.Entry) -> float:
    """Parameters of the text part from the shapes alone."""
    hidden, gates = m["hidden"], 3 if m["ffn_gated"] else 2
    attention = sum(m.get(f"{kind}_layers") or 0 for kind in MIXERS) * attention_params(m)
    dense = m["dense_layers"] * gates * hidden * m["ffn"]
    inner, width = m.get("moe_latent") or hidden, m["moe_ffn"]
    expert = gates * (m["experts"] * inner * width + hidden * m["shared_ffn"]) + hidden * m["experts"]
    expert += 2 * hidden * inner if "moe_latent" in m else 0
    tables = m["vocab"] * hidden * (1 if m["tied_embeddings"] else 2)
    return (attention + dense + m["moe_layers"] * expert + tables) / 1e9 + m["linear_params_b"]


SHAPED = [model for model in catalog.ids("models") if "params_b" in catalog.load("models", model)]


@pytest.mark.parametrize("model", SHAPED)
def test_parameters_count(model):
    """Within 2% of the published total (biases, norms, indexers and compressors are not counted here)."""
    entry = catalog.load("models", model)
    assert computed_params_b(entry) == pytest.approx(entry["params_b"], rel=0.02)
    assert entry["active_params_b"] <= 1.001 * entry["params_b"]
    assert entry["experts_per_token"] <= entry["experts"]
    mixers = sum(entry.get(f"{kind}_layers") or 0 for kind in (*MIXERS, "linear"))
    assert mixers + entry["mlp_only_layers"] == entry["layers"]


def test_a_missing_fact_is_named():
    with pytest.raises(CatalogError, match="has no 'colour' for accelerators/b200"):
        catalog.load("accelerators", "b200")["colour"]
    with pytest.raises(catalog.UnknownEntryError, match="Did you mean h200-sxm"):
        catalog.load("accelerators", "h200-sxn")
    assert catalog.load("accelerators", "H200").id == "h200-sxm"
    with pytest.raises(CatalogError, match="'full_layers' for models/deepseek-v4-pro: attention over compressed keys"):
        catalog.load("models", "deepseek-v4")["full_layers"]


def test_engine_eras():
    assert version_number("v0.5.9-rocm700") == (0, 5, 9)
    assert engine_rules("vllm", "0.6.1")["prefill_alone"]
    assert not engine_rules("vllm", "0.12.0")["prefill_alone"]
    assert engine_rules("vllm", "0.9")["default_max_seqs"] == 256
    assert engine_rules("vllm")["default_max_seqs"] == 1024


def test_every_dataset_has_one_harness():
    named = [d for h in catalog.ids("harnesses") for d in catalog.load("harnesses", h).extra.get("datasets", ())]
    assert sorted(named) == sorted({m.row.dataset for m in load_measurements()})
