"""What the search for replicas may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tokenworks import catalog
from tokenworks.physics.precision import bytes_per_weight, peak_key

ROLES = ("serve", "prefill", "decode")
ENGINES = ("vllm", "sglang", "tensorrt-llm")


@dataclass(frozen=True)
class Draft:
    """Speculative decoding: tokens proposed a step, and those of a step in the mean, the own one included."""

    tokens: int
    tokens_per_step: float


@dataclass(frozen=True)
class Allowed:
    """Settings to search over. Empty degrees: all powers of two that fit the system; empty weights: the model's own
    format and the narrower ones that the chip's tensor cores know; empty budgets: the engine's."""

    systems: tuple[str, ...]
    engines: tuple[str, ...] = ENGINES
    weights: tuple[str, ...] = ()
    kv: tuple[str, ...] = ("bf16", "fp8")
    roles: tuple[str, ...] = ROLES
    tp: tuple[int, ...] = ()
    pp: tuple[int, ...] = ()
    dp: tuple[int, ...] = ()
    ep: tuple[int, ...] = ()
    token_budgets: tuple[int, ...] = ()
    budget_times: tuple[float, ...] = (1.0,)  # of each budget, for workers that compute prompts
    drafts: tuple[Draft | None, ...] = (None,)
    clocks: tuple[float, ...] = (1.0,)  # shares of the boost clock, levels of the catalogue
    most_gpus: int = 0  # of a replica; 0: the system's
    max_seqs: int = 1024  # a rank's largest batch


def weights_for(model: catalog.Entry, accelerator: catalog.Entry, allowed: Allowed) -> Iterator[str]:
    """Formats of the weights to try on a chip. The model's own comes first."""
    if allowed.weights:
        yield from (w for w in allowed.weights if computes(accelerator, w))
        return
    native = str(model["native_weights"])
    if computes(accelerator, native):
        yield native
    formats = accelerator["tensor_formats"]
    narrow = "nvfp4" if "nvfp4" in formats else "mxfp4"
    for weights in ("fp8", narrow):
        if weights in formats and bytes_per_weight(weights) < 0.95 * bytes_per_weight(native):
            yield weights


def computes(accelerator: catalog.Entry, weights: str) -> bool:
    """Whether the chip has a tensor path for weights of this format."""
    return any(peak_key(path) in accelerator for path in catalog.load("precisions", weights)["paths"])


def runs_on(engine: str, accelerator: catalog.Entry) -> bool:
    """Whether the engine supports the chip's vendor; one of whose vendors the catalogue says nothing may."""
    vendors = catalog.load("engines", engine).get("vendors")
    return vendors is None or str(accelerator["vendor"]) in vendors


def degrees(model: catalog.Entry, gpus: int, allowed: Allowed) -> Iterator[tuple[int, int, int, int]]:
    """(tp, pp, dp, ep) of replicas with at most so many GPUs. Attention-DP ranks and expert parallelism are for models
    with experts: a dense model gains nothing from them that more replicas do not give."""
    powers = tuple(1 << k for k in range(gpus.bit_length()))
    experts, heads = int(model["experts"]), int(model["heads"])
    for tp in allowed.tp or powers:
        for pp in allowed.pp or powers:
            for dp in allowed.dp or (powers if experts else (1,)):
                if tp * pp * dp > gpus or heads % tp or pp > int(model["layers"]):
                    continue
                width = tp * dp
                for ep in allowed.ep or ((1, width) if experts and width > 1 else (1,)):
                    if ep == 1 or (experts and ep <= width and experts % ep == 0):
                        yield tp, pp, dp, ep
