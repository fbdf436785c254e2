"""Importing a config.json gives the facts of the shipped entries, the published parameter counts, or a clear error."""

import copy
import json
import os
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.catalog.configs import DEEPSEEK_V3, PUBLISHED

from tokenworks import catalog
from tokenworks.catalog.importer import import_config, model_facts
from tokenworks.catalog.importer.config import parse_config
from tokenworks.cli.main import main
from tokenworks.errors import CatalogError, InputError

COUNTED = ("params_b", "active_params_b")
LLAMA = PUBLISHED["llama-3.1-8b"][0]


@pytest.fixture
def own_folders(monkeypatch):
    """Sets the user's folders; the caches are fresh before, after each change and at the end."""

    def use(*folders):
        monkeypatch.setenv("TOKENWORKS_CATALOG", os.pathsep.join(map(str, folders)))
        catalog.reload()

    yield use
    monkeypatch.undo()
    catalog.reload()


def facts_of(config):
    return model_facts(parse_config(config, "config.json"))


@pytest.mark.parametrize("model", PUBLISHED)
def test_same_facts_as_the_shipped_entry(model):
    shipped, facts = catalog.load("models", model), facts_of(PUBLISHED[model][0])
    for key, value in facts.items():
        if key in COUNTED:
            assert value == pytest.approx(shipped[key], rel=0.01), key
        elif key == "encoder_params_b":  # blocks only; entries also count projections and embeddings
            assert 0.95 * value <= shipped[key] <= 1.5 * value, key
        else:
            assert shipped[key] == value, key
    assert set(shipped.facts) - set(facts) <= {
        "q_lora_rank",
        "kv_lora_rank",
        "qk_nope_dim",
        "qk_rope_dim",
        "v_head_dim",
    }


@pytest.mark.parametrize("model", PUBLISHED)
def test_parameters_as_published(model):
    config, published_b = PUBLISHED[model]
    assert facts_of(config)["params_b"] == pytest.approx(published_b, rel=0.01)


def test_active_parameters_as_published():
    for model, active_b in (
        ("deepseek-v3", 37),
        ("qwen3-30b-a3b", 3.3),
        ("mixtral-8x7b", 12.9),
        ("llama-4-maverick", 17),
    ):
        assert facts_of(PUBLISHED[model][0])["active_params_b"] == pytest.approx(active_b, rel=0.02)


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"])
def test_a_missing_key_is_named(missing):
    with pytest.raises(InputError, match=missing):
        facts_of({key: value for key, value in LLAMA.items() if key != missing})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, 'model_type "mamba" cannot be read; supported: deepseek_v2'),
        ({"model_type": "deepseek_v4"}, "compressed keys"),
        ({"model_type": None}, "no model_type"),
        ({"torch_dtype": "int7"}, "torch_dtype is 'int7'"),
        ({"hidden_size": 4095}, "no multiple of 32 heads"),
        ({"hidden_size": "4096"}, "not a whole number"),
        ({"layer_types": ["cross_attention"]}, 'layer_types has "cross_attention"'),
        ({"quantization_config": {"quant_method": "bitnet"}}, "quant_method 'bitnet'"),
    ],
)
def test_what_cannot_be_read_is_said(change, message):
    with pytest.raises(InputError, match=message):
        facts_of({**LLAMA, **change})


def test_narrow_experts_are_refused():
    with pytest.raises(InputError, match="narrower width"):
        facts_of({**DEEPSEEK_V3, "moe_latent_size": 1024})


@pytest.mark.parametrize(
    ("quantised", "expected"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "awq", "bits": 4}, "w4a16"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fp8"),
    ],
)
def test_precision_of_the_checkpoint(quantised, expected):
    assert facts_of({**LLAMA, "quantization_config": quantised})["native_weights"] == expected


def test_quantisation_in_the_file_beside(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    assert 'native_weights = {value = "nvfp4"' in import_config(tmp_path / "config.json", "mine")[1]


def test_from_config_to_a_factory(tmp_path, own_folders, capsys):
    """The imported entry is found by every verb, with its facts and its source."""
    config, folder = tmp_path / "my-llama" / "config.json", tmp_path / "mine"
    config.parent.mkdir()
    config.write_text(json.dumps(LLAMA))
    target = folder / "models" / "my-llama.toml"
    assert main(["catalog", "import", str(config), "--out", str(target)]) == 0
    own_folders(folder)
    mine, shipped = catalog.load("models", "my-llama"), catalog.load("models", "llama-3.1-8b")
    assert "my-llama" in catalog.ids("models")
    assert mine.fact("hidden").source == "imported-config"
    assert mine.fact("hidden").source in catalog.sources()
    assert {k: mine[k] for k in ("layers", "heads", "ffn")} == {k: shipped[k] for k in ("layers", "heads", "ffn")}
    capsys.readouterr()
    assert main(["catalog", "show", "my-llama"]) == 0
    assert "config.json of the checkpoint" in capsys.readouterr().out
    own_folders()
    assert "my-llama" not in catalog.ids("models")


def test_text_to_standard_output_and_the_date(tmp_path, capsys):
    config = tmp_path / "small_config.json"
    config.write_text(json.dumps(LLAMA))
    assert main(["catalog", "import", str(config)]) == 0
    assert capsys.readouterr().out.startswith('id = "small"\n')
    assert 'date = "2026-11-24"' in import_config(config, "x", date(2026, 11, 24))[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "no such file"),
        (["broken.json"], "not a JSON file"),
        (["list.json"], "an object, this is list"),
        (["good.json", "--id", "No Good"], "no id"),
        (["good.json", "--out", "taken.toml"], "exists already"),
        (["good.json", "--id", "a", "--out", "b.toml"], "must be called a.toml"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "good.json").write_text(json.dumps(LLAMA))
    (tmp_path / "taken.toml").write_text("mine")
    before = sorted(tmp_path.iterdir())
    assert main(["catalog", "import", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "taken.toml").read_text() == "mine"


def test_a_user_entry_may_not_replace_a_shipped_one(tmp_path, own_folders):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "llama-3.1-8b.toml").write_text("")
    own_folders(tmp_path)
    with pytest.raises(InputError, match="already: choose another id"):
        catalog.ids("models")
    own_folders(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"TOKENWORKS_CATALOG names .* no folder"):
        catalog.load("models", "llama-3.1-8b")
    (tmp_path / "typo").mkdir()
    (tmp_path / "typo" / "model").mkdir()
    own_folders(tmp_path / "typo")
    with pytest.raises(InputError, match="model is no kind of entry; there are accelerators"):
        catalog.ids("models")


def test_an_entry_is_called_like_its_file(tmp_path, own_folders):
    (tmp_path / "models").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "models" / "one.toml").write_text(import_config(tmp_path, "two")[1])
    own_folders(tmp_path)
    with pytest.raises(CatalogError, match="its id is 'two', not that of the file, 'one'"):
        catalog.load("models", "one")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_config_is_read_or_refused(data):
    """Whatever stands at a key: facts that count something, or an InputError that says what is wrong."""
    model = data.draw(st.sampled_from(sorted(PUBLISHED)))
    config = copy.deepcopy(PUBLISHED[model][0])
    part = data.draw(st.sampled_from([config, *(v for v in config.values() if isinstance(v, dict))]))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    try:
        facts = facts_of(config)
    except InputError:
        return
    assert facts["params_b"] >= 0
    assert facts["layers"] == len(range(facts["layers"]))
