"""Random deployments that fit, for tests of the wide pass."""

from __future__ import annotations

import numpy as np
from deployments import deployment

from tokenworks.errors import TokenworksError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import kv_blocks
from tokenworks.physics.step import Machine
from tokenworks.plan.ask import Ask

MODELS = (
    "llama-3.1-8b",
    "llama-3.3-70b",
    "deepseek-r1",
    "deepseek-v3.2",
    "gpt-oss-120b",
    "gemma-3-27b",
    "qwen3-30b-a3b",
    "nemotron-h-56b",
)


def replica(r: np.random.Generator, **changes: object) -> Deployment:
    """Drawn until it fits."""
    while True:
        pick = lambda *values: values[r.integers(len(values))]  # noqa: E731
        model = pick(*MODELS)
        moe = model.startswith(("deepseek", "gpt", "qwen"))
        tp, dp = pick(1, 2, 4, 8), pick(1, 2, 4, 8) if moe else 1
        drawn: dict[str, object] = {
            "accelerator": pick("h100-sxm", "h200-sxm", "b200", "mi355x"), "model": model, "engine": pick("vllm", "sglang"),
            "weights": pick("bf16", "fp8"), "kv": pick("bf16", "fp8"), "tp": tp, "dp": dp, "pp": pick(1, 1, 2),
            "ep": pick(1, tp * dp) if moe else 1, "token_budget": pick(2048, 8192), "max_seqs": pick(16, 64, 256),
            "prefill_alone": pick(True, False), "memory_reserve_gb": 1.0, "async_scheduling": pick(True, False),
            "eager_prefill": pick(True, False), "two_batch_overlap": pick(False, False, True) if moe else False,
        }  # fmt: skip
        found = deployment(**{**drawn, **changes})
        try:
            kv_blocks(Machine.of(found))
        except TokenworksError:
            continue
        return found


def lengths(r: np.random.Generator, prompt: float, output: float, spread: float, count: int = 200) -> Ask:
    """Log-normal lengths with these means and this coefficient of variation; no objective."""
    sd = np.sqrt(np.log(1 + spread**2))
    of = lambda mean: np.rint(mean * np.exp(sd * r.standard_normal(count) - sd**2 / 2)).clip(1)  # noqa: E731
    return Ask(of(prompt), of(output).clip(2), None, None, None)
