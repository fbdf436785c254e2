"""What the factory serves: models, engines, parallelism, caches, routing, objectives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tokenworks.spec.clocks import Clock
from tokenworks.spec.part import Count, Degree, Name, Part
from tokenworks.spec.quantities import Bytes, BytesPerSecond, Objective, Patience, SomePortion
from tokenworks.spec.scaling import Scaling

Sequences = Annotated[int, Field(ge=1, le=65_536)]
StepTokens = Annotated[int, Field(ge=1, le=1_048_576)]


class Worker(Part):
    """How the GPUs of one worker share its work, and what one step may hold."""

    tp: Degree = Field(1, description="tensor-parallel degree")
    pp: Degree = Field(1, description="pipeline stages")
    dp: Degree = Field(1, alias="dp_attention", description="attention data-parallel ranks")
    ep: Degree = Field(1, description="expert-parallel ranks")
    micro_batches: Count | None = Field(
        None, description="in flight in the pipeline; none: one a stage, so that no stage is ever idle"
    )
    redundant_experts: int = Field(0, ge=0, le=4096, description="copies of experts, spread over the ep ranks; 0: none")
    max_seqs: Sequences | None = Field(None, description="sequences in a batch; none: the engine's")
    token_budget: StepTokens | None = Field(None, description="tokens of a step; none: the engine's")
    clock: Clock | None = Field(
        None,
        description="share of the boost clock that its GPUs may run at, a level of `catalog clocks default`; none: full, "
        "of a pool its service's",
    )

    @property
    def gpus(self) -> int:
        """GPUs of one worker."""
        return self.tp * self.pp * self.dp


class Pool(Worker):
    """Prefill or decode workers of a disaggregated service."""

    workers: Count = Field(1, description="replicas in this pool")
    scaling: Scaling | None = Field(None, description="how many of them are up; none: all, always")


class Tier(Part):
    """Where evicted prefix blocks go: capacity per replica."""

    name: Literal["host", "grace", "nvme", "shared"] = Field(description="kind of memory")
    capacity_bytes: Bytes = Field(alias="capacity", description="e.g. 400 GB")
    bandwidth_b_s: BytesPerSecond | None = Field(
        None, alias="bandwidth", description="back to the GPUs, e.g. 50 GB/s; none: the system's"
    )


class Speculative(Part):
    """Speculative decoding."""

    kind: Literal["mtp", "eagle", "ngram", "draft"] = Field("mtp", description="where the draft tokens come from")
    draft_tokens: int = Field(1, ge=1, le=64, description="proposed in a step")
    tokens_per_step: Annotated[float, Field(ge=1.0)] = Field(
        1.0, description="accepted in the mean, own token included"
    )

    @model_validator(mode="after")
    def _possible(self) -> Speculative:
        if self.tokens_per_step > self.draft_tokens + 1:
            raise ValueError(f"at most {self.draft_tokens + 1} tokens a step from {self.draft_tokens} draft tokens")
        return self


class Lora(Part):
    """Low-rank adapters that all requests use, each one of them, equally often."""

    adapters: Count = Field(description="loaded side by side")
    rank: int = Field(16, ge=1, le=512, description="of every adapter; attention and dense feed-forwards")


class Slo(Part):
    """Objectives for the 95th percentile of each request latency."""

    ttft_p95_s: Objective | None = Field(
        None, alias="ttft_p95", description="time to the first token; none: no objective"
    )
    tpot_p95_s: Objective | None = Field(None, alias="tpot_p95", description="time per output token after the first")
    e2e_p95_s: Objective | None = Field(None, alias="e2e_p95", description="time to the last token")


ROUTING = ("round-robin", "random", "least-loaded", "power-of-two", "session", "kv-aware")


class Service(Worker):
    """A model with its workers."""

    name: Name = Field(description="what workloads and reports call it")
    model: str = Field(description="catalogue id")
    precision: str = Field("bf16", description="of the weights")
    kv_precision: Literal["bf16", "fp8"] = Field("bf16", description="of the KV cache")
    engine: str = Field("vllm", description="catalogue id")
    engine_version: str = Field("", description="whose rules and overheads hold; empty: the newest that was measured")
    on: str | None = Field(None, description="system id; none: the only system")
    workers: Count | None = Field(None, description="replicas; none: as many as the free GPUs hold")
    prefill: Pool | None = Field(None, description="prefill workers of a disaggregated service")
    decode: Pool | None = Field(None, description="decode workers of a disaggregated service")
    memory_fraction: SomePortion | None = Field(
        None, description="of the GPU memory that the engine may fill; none: the engine's"
    )
    chunked_prefill: bool | None = Field(None, description="prompts in pieces beside decode; none: the engine's")
    prefix_cache: bool | None = Field(None, description="reuse of known prompt prefixes; none: off")
    kv_tiers: tuple[Tier, ...] = Field((), description="slower memories for evicted prefix blocks, fastest first")
    speculative: Speculative | None = Field(None, description="speculative decoding; none: off")
    encoder: bool = Field(True, description="load the model's vision or audio encoder; false: text only")
    lora: Lora | None = Field(None, description="low-rank adapters; none: off")
    fused_all_reduce: bool = Field(False, description="norms run inside the all-reduce before them (tp > 1)")
    overlap: Literal["none", "two-batch"] = Field(
        "none", description="two-batch: a step runs as two halves, one communicates while the other computes"
    )
    routing: Literal["round-robin", "random", "least-loaded", "power-of-two", "session", "kv-aware"] = Field(
        "least-loaded", description="which worker takes a request"
    )
    kv_weight: Annotated[float, Field(ge=0, le=100)] = Field(
        4.0, description="of kv-aware routing: what an uncached block counts against one of load"
    )
    max_waiting: int = Field(0, ge=0, le=1_000_000_000, description="requests that may queue; 0: no limit")
    timeout_s: Patience = Field(0.0, alias="timeout", description="to the first token; 0: none")
    slo: Slo = Field(Slo(), description="latency objectives")  # type: ignore[call-arg]
    scaling: Scaling | None = Field(None, description="how many workers are up; none: all, always")

    @model_validator(mode="after")
    def _pools(self) -> Service:
        if (self.prefill is None) != (self.decode is None):
            raise ValueError("a disaggregated service needs both prefill and decode")
        if self.prefill and self.workers:
            raise ValueError("workers belongs to an aggregated service; prefill and decode have their own")
        if self.prefill and self.scaling:
            raise ValueError("scaling belongs to an aggregated service; prefill and decode have their own")
        return self

    def pool(self, role: str | None) -> Service | Pool | None:
        """Its workers, or those of one of its pools; None where it has no such pool."""
        return {None: None if self.prefill else self, "prefill": self.prefill, "decode": self.decode}[role]

    @property
    def scaled(self) -> bool:
        """Whether replicas of it follow the demand."""
        return any(pool.scaling for pool in (self, self.prefill, self.decode) if pool)
