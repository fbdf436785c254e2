"""From a published row to the experiment that produced it: a deployment and a load, ready to be rehearsed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from tokenworks import catalog
from tokenworks.accuracy import recipes
from tokenworks.accuracy.loads import Load, load_of, whole_batch
from tokenworks.accuracy.rows import Row
from tokenworks.accuracy.settings import generated_settings, offline_settings
from tokenworks.catalog.engines import engine_rules
from tokenworks.errors import UnsupportedError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import fits
from tokenworks.physics.pools import pool_speed
from tokenworks.physics.terms import Terms

DISAGGREGATED, SPECULATING = "disaggregated", "speculating"

SMALL_STEP = 2048  # tokens: what is left of a step's budget where its buffers would not fit


@dataclass(frozen=True)
class Split:
    """Prefill workers beside the decode workers of a disaggregated experiment."""

    prefill: Deployment
    prefill_workers: int
    decode_workers: int
    per_decode_gpu: bool  # the dataset divides throughput by the decode GPUs alone
    terms: Terms | None = None  # of the prefill workers; None: those of the shipped effects
    prefill_speed: float = 1.0  # of workers that do nothing else, against those that mix prefill and decode
    decode_speed: float = 1.0

    def divisor(self, decode: Deployment) -> int:
        """GPUs by which throughput is divided."""
        shown = self.decode_workers * decode.gpus
        return shown if self.per_decode_gpu else shown + self.prefill_workers * self.prefill.gpus


@dataclass(frozen=True)
class Experiment:
    deployment: Deployment
    load: Load
    replicas: float
    harness: str
    mode: str  # offline, closed, open, static
    assumed: str = ""  # the facts that the row leaves open and the catalogue supplied
    split: Split | None = None  # disaggregated: ``deployment`` decodes
    gaps: bool = False  # the harness prints the median gap between tokens, not the median of requests' means

    @property
    def tested_as(self) -> str:
        """The kind of experiment whose errors are its own: the mode, or what no fit learns from."""
        return DISAGGREGATED if self.split else SPECULATING if self.deployment.draft_tokens else self.mode


@lru_cache(maxsize=1)
def harness_of() -> dict[str, str]:
    """Dataset → harness id, of harnesses with a client; the others time the engine itself."""
    found: dict[str, str] = {}
    for known in catalog.ids("harnesses"):
        entry = catalog.load("harnesses", known)
        if entry.get("client") is not False:
            found |= dict.fromkeys(entry.extra.get("datasets", ()), known)
    return found


def experiment(row: Row) -> Experiment:
    """The experiment behind a row. Raises UnsupportedError with the reason where it cannot be rehearsed."""
    _require(row)
    assumed: list[str] = []
    harness = harness_of().get(row.dataset, "")
    mode = mode_of(row)
    weights = _weights(row, assumed)
    if row.disaggregated == "true":
        return _disaggregated(row, weights, harness, mode, assumed)
    base = _speculating(row, _deployment(row, weights, assumed), assumed)
    settings = _settings(row, base, mode, harness)
    deployment = replace(base, **settings)
    replicas = (row.gpus or base.gpus) / deployment.gpus
    if replicas < 1:
        raise UnsupportedError(f"{row.gpus} GPUs cannot hold a replica of {deployment.gpus}")
    load = load_of(row, deployment, mode, harness, replicas, assumed)
    if mode == "static":
        deployment = replace(deployment, max_seqs=len(load.arrival_s), token_budget=whole_batch(load))
    deployment = _fitting(replace(deployment, sequence_tokens=_length(load)), assumed)
    if row.spec_decoding == "unknown":
        assumed.append("no speculative decoding")
    gaps = bool(harness) and catalog.load("harnesses", harness).get("median_of_gaps")
    return Experiment(deployment, load, replicas, harness, mode, ", ".join(assumed), gaps=bool(gaps))


def _length(load: Load) -> int:
    """Tokens of a mean sequence at its end."""
    return round(float((load.input_tokens + load.output_tokens).mean()))


def _fitting(deployment: Deployment, assumed: list[str]) -> Deployment:
    """A measured row did run: where the usual memory settings leave no room for a cache, tighter ones were used."""
    if fits(deployment):
        return deployment
    tight = replace(deployment, memory_fraction=0.98, memory_reserve_gb=min(1.0, deployment.memory_reserve_gb))
    small = replace(tight, token_budget=min(tight.token_budget, max(SMALL_STEP, tight.max_seqs)))
    for found in (tight, small):
        if fits(found):
            assumed.append("memory settings")
            return found
    raise UnsupportedError(f"{deployment.model} in {deployment.weights} does not fit")


def _require(row: Row) -> None:
    if row.gpu in ("mixed-amd", "cpu-only"):
        raise UnsupportedError(f"{row.gpu} is not one accelerator")
    for name in ("gpu", "model", "engine"):
        if not getattr(row, name):
            raise UnsupportedError(f"{name} is not stated")
    if row.disaggregated == "true":
        pools = (row.prefill_workers, row.prefill_tp, row.decode_workers, row.decode_tp)
        if not all(pools):
            raise UnsupportedError("degrees of the prefill and decode workers are not stated")
    elif row.tp is None and row.dp_attention is None:
        raise UnsupportedError("parallel degrees are not stated")
    if row.osl is None or (row.isl is None and row.dataset != "mlenergy_v3"):
        raise UnsupportedError("input or output length is not stated")
    if row.osl < 1 or (row.isl is not None and row.isl < 1):
        raise UnsupportedError("a length below one token")


def mode_of(row: Row) -> str:
    """static, offline, closed or open: the kind of load. Raises UnsupportedError where the row states none."""
    if row.batch_size and row.serving != "closed_loop":
        return "static"
    if row.serving == "offline_max":
        return "offline"
    if row.concurrency:
        return "closed"
    if row.request_rate:
        return "open"
    raise UnsupportedError("the load is not stated (no concurrency, rate or batch size)")


def _weights(row: Row, assumed: list[str]) -> str:
    model = catalog.load("models", row.model)
    native = str(model["native_weights"])
    if not row.quantization:
        assumed.append("bf16 weights")
        return "bf16" if native != "mxfp4" else native
    if native == "mxfp4":
        return "mxfp4"  # the public gpt-oss weights, whatever the page prints
    if row.quantization == "fp8" and (native == "fp8_block" or (row.engine == "sglang" and model["experts"])):
        return "fp8_block"
    return {"mixed": "fp16"}.get(row.quantization, row.quantization)


def _kv(row: Row, weights: str) -> str:
    eight = weights in ("fp8", "nvfp4", "mxfp4", "fp8_block", "int8")
    family = catalog.load("engines", row.engine)["base"]
    if weights == "mxfp4" and catalog.load("accelerators", row.gpu)["generation"] == "hopper":
        return "bf16"  # no FP4 tensor cores: the weights are unpacked, activations and cache stay in 16 bits
    return "fp8" if eight and family == "tensorrt-llm" and not row.gpu.startswith("a100") else "bf16"


def _deployment(row: Row, weights: str, assumed: list[str]) -> Deployment:
    version = _version(row)
    rules = engine_rules(row.engine, version, row.date)
    tp, pp, dp = row.tp or 1, row.pp or 1, row.dp_attention or 1
    accelerator = catalog.load("accelerators", row.gpu)
    return Deployment(
        accelerator=row.gpu,
        model=row.model,
        engine=row.engine,
        engine_version=version,
        date=row.date,
        weights=weights,
        kv=_kv(row, weights),
        tp=tp,
        pp=pp,
        dp=dp,
        ep=max(row.moe_ep or 1, dp) if catalog.load("models", row.model)["experts"] else 1,
        max_seqs=rules["default_max_seqs"],
        token_budget=rules["default_token_budget"],
        memory_fraction=rules["memory_fraction"],
        kv_fraction_of_free=rules["kv_fraction_of_free"],
        memory_reserve_gb=rules["memory_reserve_gb"],
        block_tokens=rules["block_tokens"],
        reserve_output=rules["reserve_output"],
        prefill_alone=rules["prefill_alone"],
        chunked_prefill=rules["chunked_prefill"],
        receive_interval=rules["receive_interval"],
        plans_ahead=rules["plans_ahead"],
        prefix_cache=False,
        cuda_graph_max_seqs=rules["cuda_graph_max_seqs"],
        async_scheduling=rules["async_scheduling"],
        eager_prefill=rules["eager_prefill"],
        draft_tokens=0,
        tokens_per_step=1.0,
        gpus_per_node=int(accelerator["scale_up_domain"]),
    )


def _version(row: Row) -> str:
    """The engine's version; "" where what is printed is that of the wrapper around it."""
    engine = catalog.load("engines", row.engine)
    split = row.disaggregated == "true" and engine["base"] == "tensorrt-llm"  # always in an image of Dynamo
    return "" if split or engine.get("versions_of_wrapper") else row.engine_version


def _speculating(row: Row, base: Deployment, assumed: list[str]) -> Deployment:
    """Speculative decoding as the method's authors report its acceptance, where a row says that it was on."""
    if row.spec_decoding not in ("mtp", "eagle"):
        return base
    entry = catalog.load("speculation", row.spec_decoding)
    assumed.append(f"acceptance of {row.spec_decoding}")
    return replace(base, draft_tokens=int(entry["draft_tokens"]), tokens_per_step=float(entry["tokens_per_step"]))


def _disaggregated(row: Row, weights: str, harness: str, mode: str, assumed: list[str]) -> Experiment:
    """Prefill and decode pools of stated degrees; the closed loop runs over both."""
    if mode != "closed":
        raise UnsupportedError("a disaggregated row that is not a closed loop")
    pools = []
    for side in ("prefill", "decode"):
        tp, dp, ep = (getattr(row, f"{side}_{key}") or 1 for key in ("tp", "dp", "ep"))
        own = replace(row, tp=tp, pp=1, dp_attention=dp, moe_ep=ep)
        base = _deployment(own, weights, assumed)
        eight = weights in ("fp8_block", "nvfp4", "mxfp4", "fp8")
        base = replace(base, kv="fp8" if eight else base.kv)
        if side == "decode":
            base = _speculating(own, base, assumed)
            each = replace(own, concurrency=-(-(row.concurrency or 1) // ((row.decode_workers or 1) * dp)))
            base = replace(base, **recipes.speculation(each, base))
        pools.append(_fitting(base, assumed))
    prefill, decode = pools
    load = load_of(row, replace(decode, dp=1), mode, harness, 1.0, assumed)
    per_decode = row.dataset in catalog.load("harnesses", "inferencex").extra["per_decode_gpu"]
    split = Split(
        prefill,
        row.prefill_workers or 1,
        row.decode_workers or 1,
        per_decode,
        prefill_speed=pool_speed(prefill, "prefill"),
        decode_speed=pool_speed(decode, "decode"),
    )
    return Experiment(decode, load, 1.0, harness, mode, ", ".join(dict.fromkeys(assumed)), split)


def _settings(row: Row, base: Deployment, mode: str, harness: str) -> dict[str, Any]:
    """What the dataset's harness sets differently from the engine's defaults."""
    if mode == "static":
        return {"chunked_prefill": False, "prefill_alone": True, "reserve_output": False}
    if harness == "inferencex":
        return recipes.settings(row, base)
    if harness == "trtllm-offline":
        return offline_settings(row, base)
    if harness == "open-loop":
        own = catalog.load("harnesses", harness).extra["datasets_own"].get(row.dataset, {})
        return {key: value for key, value in own.items() if key != "requests"}
    if harness == "aiperf-burst":
        return generated_settings(row)
    if mode == "closed" and row.dataset == "mlenergy_v3":
        return {"max_seqs": max(1, row.concurrency or 1)}
    return {}
