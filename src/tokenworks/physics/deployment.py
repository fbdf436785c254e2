"""A deployment: one engine replica with every setting resolved. What physics compiles into a WorkerModel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TierSettings:
    """KV tier below device memory: capacity per replica and one-way bandwidth into the device."""

    name: str
    capacity_gb: float
    bandwidth_gb_s: float


@dataclass(frozen=True)
class SiteTerms:
    """What a site's own measurements of one deployment say of it, beyond the shipped calibration."""

    file: str  # the site calibration
    points: int  # measurements that it was made of
    shifts: tuple[tuple[str, float], ...]  # of terms, added to their fitted effects
    bounds: tuple[tuple[str, float, float], ...]  # metric, then the 80% bounds of log(measured / predicted)


@dataclass(frozen=True)
class Deployment:
    """All settings are explicit: who builds one (spec, or a harness of the accuracy room) takes them from the
    factory file, from the engine's catalogue entry or from a published recipe, never from a default here. Options that
    most deployments do without stand last, switched off.

    gpus of the replica = tp · pp · dp. ``ep`` experts-parallel ranks over the same GPUs (1 = experts are
    sharded by tensor parallelism). ``max_seqs`` and ``token_budget`` are per attention-DP rank.

    KV bytes per GPU = (memory · memory_fraction − weights − memory_reserve_gb) · kv_fraction_of_free.
    """

    accelerator: str  # catalogue ids
    model: str
    engine: str
    engine_version: str  # as printed, "" when unknown
    date: str  # ISO date, month or year of the software; "" when unknown: picks the era of overheads
    weights: str  # bf16 fp16 fp32 fp8 fp8_block nvfp4 mxfp4 int8 int4 w4a16
    kv: str  # bf16 fp8
    tp: int
    pp: int
    dp: int
    ep: int
    max_seqs: int
    token_budget: int
    memory_fraction: float  # of device memory that the engine may use at all
    kv_fraction_of_free: float
    memory_reserve_gb: float  # activations, graphs, runtime
    block_tokens: int
    reserve_output: bool
    prefill_alone: bool
    chunked_prefill: bool
    receive_interval: int
    plans_ahead: bool
    prefix_cache: bool
    cuda_graph_max_seqs: int  # 0: no graphs
    async_scheduling: bool
    eager_prefill: bool  # steps with prefill run outside CUDA graphs
    draft_tokens: int  # speculative tokens proposed a step, 0 = off
    tokens_per_step: float  # 1 without speculation
    gpus_per_node: int  # size of the scale-up domain that the replica may use
    tiers: tuple[TierSettings, ...] = ()
    encoder: bool = False  # the model's vision or audio encoder is loaded, where it has one
    lora_adapters: int = 0  # loaded side by side, asked for equally often; 0 = off
    lora_rank: int = 0
    redundant_experts: int = 0  # copies of experts that the ep ranks hold beside one of each
    micro_batches: int = 0  # in flight in a pipeline; 0: one a stage, none ever idle (see physics/pipeline.py)
    fused_all_reduce: bool = False  # norms run inside the all-reduce before them
    sequence_tokens: int = 0  # of a running sequence, prompt and answer: what its windows hold; 0 = not known
    two_batch_overlap: bool = False  # one half of a step communicates while the other computes
    site: SiteTerms | None = None  # measured where it stands; None: the shipped calibration alone
    scale_out_gb_s: float = 0.0  # one way, per GPU, between domains; 0: the accelerator's as usually built
    transfer_gb_s: float = 0.0  # … between prefill and decode workers; 0: as between domains
    clock: float = 1.0  # share of the boost clock, one of the catalogue's levels: the fastest that it may run at
    pool_speed: float = 1.0  # of a worker that only prefills or only decodes, against one that does both

    @property
    def gpus(self) -> int:
        return self.tp * self.pp * self.dp
