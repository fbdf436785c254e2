"""What one GPU of a deployment holds and computes: the model cut by tensor, expert and data parallelism.

Two groups of operators: *local* ones see the tokens of one attention-DP rank, *shared* ones (feed-forward,
experts) see the tokens of all ranks of the replica. Without attention DP there is one rank and no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenworks import catalog
from tokenworks.physics.degrees import check_degrees
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.kernels import launches, local_bytes, shared_bytes
from tokenworks.physics.precision import attention_precision, bytes_per_kv, bytes_per_weight

UNQUANTISED = "bf16"  # embeddings, output head and norms stay in 16 bits in every published checkpoint


@dataclass(frozen=True)
class Gemm:
    """A dense weight matrix on one GPU: y (M, n) = x (M, k) · W (k, n), ``count`` times a step."""

    name: str
    n: float
    k: float
    count: float
    precision: str
    shared: bool = False  # sees the tokens of all ranks
    per_sequence: bool = False  # sees only positions that sample a token (output head)

    @property
    def weights(self) -> float:
        return self.n * self.k * self.count

    @property
    def weight_bytes(self) -> float:
        return self.weights * bytes_per_weight(self.precision)


@dataclass(frozen=True)
class Attention:
    """Attention cores of all layers on one GPU. FLOP and bytes per (query, key) or per key, by context class."""

    prefill_flop: tuple[float, float, float]  # per query–key pair
    decode_flop: tuple[float, float, float]  # per key read by one decode query
    decode_bytes: tuple[float, float, float]  # per key read
    limits: tuple[int, int]
    state_bytes: float  # linear mixers: read and written per sequence and step
    state_flop: float  # linear mixers: per token
    latent: bool = False  # keys are latents (MLA)


@dataclass(frozen=True)
class Experts:
    """Routed experts of all MoE layers as one GPU sees them."""

    experts: int  # in the model
    top_k: int
    local: float  # experts resident on this GPU, of one layer (a fraction of each when cut by tensor parallelism)
    cut: int  # GPUs that share one expert's matrices
    ranks: int  # expert-parallel ranks
    parameters: float  # of one whole expert
    layers: int
    precision: str
    redundant: int = 0  # copies beside one of each expert
    hidden: float = 0.0  # elements of a row that goes in and comes out; 0: rows cost nothing
    inner: float = 0.0  # … between the matrices, on this GPU

    @property
    def weight_bytes(self) -> float:
        return self.local / self.cut * self.parameters * self.layers * bytes_per_weight(self.precision)


@dataclass(frozen=True)
class Shard:
    gemms: tuple[Gemm, ...]
    attention: Attention
    experts: Experts | None
    layers: float  # executed by one GPU
    launches: float  # kernels of one step, on one GPU
    local_bytes: float  # moved by norms and activations per token of one rank, on one GPU
    shared_bytes: float  # … per token of all ranks
    mixers: int  # layers with attention or a linear mixer, for collectives
    feed_forwards: int
    hidden: int
    embedding_bytes: float
    kv_bytes_per_token: float  # on one GPU, of layers whose cache grows without limit
    kv_bytes_fixed: float  # per sequence on one GPU: windows and linear states

    @property
    def weight_bytes(self) -> float:
        routed = self.experts.weight_bytes if self.experts else 0.0
        return sum(gemm.weight_bytes for gemm in self.gemms) + routed + self.embedding_bytes


@lru_cache(maxsize=16_384)
def shard(deployment: Deployment) -> Shard:
    """Cut the model for one GPU of the deployment (pipeline stages are averaged)."""
    model = catalog.load("models", deployment.model)
    check_degrees(deployment, model)
    pp = deployment.pp
    experts = _experts(deployment, model)
    gemms = (*_attention_gemms(deployment, model), *_feed_forward_gemms(deployment, model))
    head = Gemm("head", model["vocab"] / deployment.tp, model["hidden"], 1, UNQUANTISED, per_sequence=True)
    kv_token, kv_fixed = _kv_bytes(deployment, model)
    tied = 0.0 if model["tied_embeddings"] else model["vocab"] * model["hidden"] * 2 / deployment.tp / pp
    return Shard(
        gemms=(*tuple(_staged(gemm, pp) for gemm in gemms), head),
        attention=_attention(deployment, model),
        experts=experts,
        layers=model["layers"] / pp,
        launches=launches(deployment, model),
        local_bytes=local_bytes(deployment, model),
        shared_bytes=shared_bytes(deployment, model),
        mixers=_mixers(model),
        feed_forwards=_dense_layers(model) + int(model["moe_layers"]),
        hidden=int(model["hidden"]),
        embedding_bytes=tied,
        kv_bytes_per_token=kv_token,
        kv_bytes_fixed=kv_fixed,
    )


def _staged(gemm: Gemm, pp: int) -> Gemm:
    return Gemm(gemm.name, gemm.n, gemm.k, gemm.count / pp, gemm.precision, gemm.shared, gemm.per_sequence)


def _mixers(model: catalog.Entry) -> int:
    return int(model["full_layers"] + model["window_layers"] + model["topk_layers"] + model["linear_layers"])


def _dense_layers(model: catalog.Entry) -> int:
    return int(model["dense_layers"])


def _attention_gemms(deployment: Deployment, model: catalog.Entry) -> tuple[Gemm, ...]:
    precision = attention_precision(model, deployment.weights)
    hidden, heads, tp = model["hidden"], model["heads"], deployment.tp
    softmax_layers = model["full_layers"] + model["window_layers"] + model["topk_layers"]
    gemms: list[Gemm] = []
    if model["linear_layers"]:
        width = model["linear_params_b"] * 1e9 / model["linear_layers"] / hidden
        gemms.append(Gemm("linear mixer", width / tp, hidden, model["linear_layers"], precision))
    if model["attention"] == "mla":
        return (*gemms, *_mla_gemms(model, softmax_layers, tp, precision))
    kv_heads = max(model["kv_heads"], tp)  # replicated when there are fewer heads than ranks
    queries = 2 * heads if model.get("attention_output_gate") else heads  # the gate is projected with the queries
    qkv = (queries + 2 * kv_heads) * model["head_dim"] / tp
    gemms.append(Gemm("qkv", qkv, hidden, softmax_layers, precision))
    gemms.append(Gemm("attention out", hidden, heads * model["head_dim"] / tp, softmax_layers, precision))
    return tuple(gemms)


def _mla_gemms(model: catalog.Entry, layers: float, tp: int, precision: str) -> tuple[Gemm, ...]:
    """DeepSeek-V2 low-rank projections (arXiv 2405.04434); the down-projections are replicated on every rank."""
    hidden, heads = model["hidden"], model["heads"] / tp
    q_rank, kv_rank = model["q_lora_rank"], model["kv_lora_rank"]
    nope, rope, value = model["qk_nope_dim"], model["qk_rope_dim"], model["v_head_dim"]
    q_in = q_rank or hidden
    gemms = [
        Gemm("mla down", q_rank + kv_rank + rope, hidden, layers, precision),
        Gemm("mla q up", heads * (nope + rope), q_in, layers, precision),
        Gemm("mla kv up", heads * (nope + value), kv_rank, layers, precision),
        Gemm("attention out", hidden, heads * value, layers, precision),
    ]
    if model.get("index_heads"):
        own = model.get("index_layers") or layers  # the other layers reuse what an indexer chose
        gemms.append(Gemm("indexer", model["index_heads"] * model["index_dim"], q_in, own, precision))
    return tuple(gemms)


def _feed_forward_gemms(deployment: Deployment, model: catalog.Entry) -> tuple[Gemm, ...]:
    width = deployment.tp * deployment.dp
    hidden, shared = model["hidden"], deployment.dp > 1
    gates = 2 if model["ffn_gated"] else 1
    gemms: list[Gemm] = []
    dense = _dense_layers(model)
    if dense:
        gemms.append(Gemm("ffn up", gates * model["ffn"] / width, hidden, dense, deployment.weights, shared))
        gemms.append(Gemm("ffn down", hidden, model["ffn"] / width, dense, deployment.weights, shared))
    if model["moe_layers"]:
        layers = model["moe_layers"]
        gemms.append(Gemm("router", model["experts"], hidden, layers, UNQUANTISED))
        if latent := model.get("moe_latent"):  # LatentMoE: experts work in a narrower width
            gemms.append(Gemm("experts down", latent, hidden, layers, deployment.weights, shared))
            gemms.append(Gemm("experts up", hidden, latent, layers, deployment.weights, shared))
        if model["shared_ffn"]:
            part = model["shared_ffn"] / width
            gemms.append(Gemm("shared up", gates * part, hidden, layers, deployment.weights, shared))
            gemms.append(Gemm("shared down", hidden, part, layers, deployment.weights, shared))
    return tuple(gemms)


def _experts(deployment: Deployment, model: catalog.Entry) -> Experts | None:
    if not model["experts"]:
        return None
    width = deployment.tp * deployment.dp
    ep = max(1, min(deployment.ep, width))
    matrices = 3 if model["ffn_gated"] else 2
    hidden = float(model.get("moe_latent") or model["hidden"])
    cut = max(1, width // ep)
    return Experts(
        experts=int(model["experts"]),
        top_k=int(model["experts_per_token"]),
        local=(model["experts"] + deployment.redundant_experts) / ep,
        cut=cut,
        ranks=ep,
        parameters=matrices * hidden * model["moe_ffn"],
        layers=int(model["moe_layers"]) / deployment.pp,  # type: ignore[arg-type]
        precision=deployment.weights,
        redundant=deployment.redundant_experts,
        hidden=hidden,
        inner=model["moe_ffn"] / cut,
    )


def _attention(deployment: Deployment, model: catalog.Entry) -> Attention:
    full, window, topk = model["full_layers"], model["window_layers"], model["topk_layers"]
    per_pair, per_key, key_bytes = _core_costs(deployment, model)
    layers = (full / deployment.pp, window / deployment.pp, topk / deployment.pp)
    prefill = [per_pair * count for count in layers]
    flop = [per_key * count for count in layers]
    size = [key_bytes * count for count in layers]
    if topk and model.get("index_heads"):  # the indexer scores every key, in 8 bits (DeepSeek-V3.2 report)
        indexers = (model.get("index_layers") or topk) / deployment.pp
        scan = 2.0 * model["index_heads"] * model["index_dim"] * indexers
        prefill[0] += scan
        flop[0] += scan
        size[0] += model["index_dim"] * indexers
    limits = (int(model["window"]) if window else 0, int(model["topk"]) if topk else 0)
    linear = model["linear_layers"]
    state = 2.0 * model["linear_state_bytes_per_seq"] / deployment.tp / deployment.pp if linear else 0.0
    return Attention(
        (prefill[0], prefill[1], prefill[2]),
        (flop[0], flop[1], flop[2]),
        (size[0], size[1], size[2]),
        limits,
        state,
        state,
        model["attention"] == "mla",
    )


def _core_costs(deployment: Deployment, model: catalog.Entry) -> tuple[float, float, float]:
    """(FLOP per pair in prefill, FLOP per key in decode, bytes per key in decode) of one layer on one GPU."""
    element = bytes_per_kv(deployment.kv)
    heads = max(1.0, model["heads"] / deployment.tp)
    if model["attention"] == "mla":
        latent, rope = model["kv_lora_rank"], model["qk_rope_dim"]
        pair = 2.0 * heads * (model["qk_nope_dim"] + rope + model["v_head_dim"])
        return pair, 2.0 * heads * (2 * latent + rope), (latent + rope) * element
    kv_heads = max(1.0, model["kv_heads"] / deployment.tp)
    pair = 4.0 * heads * model["head_dim"]
    return pair, pair, 2.0 * kv_heads * model["head_dim"] * element


def _kv_bytes(deployment: Deployment, model: catalog.Entry) -> tuple[float, float]:
    """(bytes per token, bytes per sequence) of the cache on one GPU. Windows hold at most their length."""
    _, _, key_bytes = _core_costs(deployment, model)
    growing = (model["full_layers"] + model["topk_layers"]) * key_bytes
    if model["topk_layers"] and model.get("index_dim"):
        growing += (model.get("index_layers") or model["topk_layers"]) * model["index_dim"]
    fixed = model["window_layers"] * model["window"] * key_bytes if model["window_layers"] else 0.0
    if model["linear_layers"]:
        fixed += model["linear_state_bytes_per_seq"] / deployment.tp
    return growing / deployment.pp, fixed / deployment.pp
