"""Physics can cut every model for a machine, or the catalogue says which fact is missing and why."""

import pytest

from tokenworks import catalog
from tokenworks.errors import CatalogError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.shard import shard

COMPLETE = [m for m in catalog.ids("models") if not catalog.load("models", m).missing]
PARTIAL = [m for m in catalog.ids("models") if catalog.load("models", m).missing]


def one_gpu(model: str) -> Deployment:
    return Deployment(
        accelerator="b200",
        model=model,
        engine="vllm",
        engine_version="",
        date="",
        weights="bf16",
        kv="bf16",
        tp=1,
        pp=1,
        dp=1,
        ep=1,
        max_seqs=256,
        token_budget=8192,
        memory_fraction=0.9,
        kv_fraction_of_free=1.0,
        memory_reserve_gb=2.0,
        block_tokens=16,
        reserve_output=False,
        prefill_alone=False,
        chunked_prefill=True,
        receive_interval=1,
        plans_ahead=False,
        prefix_cache=True,
        cuda_graph_max_seqs=256,
        eager_prefill=False,
        async_scheduling=False,
        draft_tokens=0,
        tokens_per_step=1.0,
        gpus_per_node=8,
    )


@pytest.mark.parametrize("model", COMPLETE)
def test_weights_are_the_parameters(model):
    """Two bytes a parameter on one GPU, within 2%: the shapes that physics uses are the published size."""
    entry = catalog.load("models", model)
    assert shard(one_gpu(model)).weight_bytes / 2e9 == pytest.approx(entry["params_b"], rel=0.02)


@pytest.mark.parametrize("model", PARTIAL)
def test_a_model_beyond_physics_is_refused_with_the_reason(model):
    with pytest.raises(
        CatalogError, match=r"does not model yet|not modelled by the physics yet|the submission does not say"
    ):
        shard(one_gpu(model))
