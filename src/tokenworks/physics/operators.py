"""Seconds, FLOPs and bytes of the operators of one engine step on one GPU, as functions of the tokens in it.

Every function takes an array of token counts and returns ``Cost`` arrays of the same shape: a step's time is
the larger of compute and memory time of each operator (a hard roofline: a soft one fits measurements worse).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.physics.curves import expert_curve, gemm_curve, link_share
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.precision import bytes_per_weight, peak_flop_s
from tokenworks.physics.shard import Experts, Gemm, Shard
from tokenworks.physics.terms import Terms

Array = NDArray[np.float64]

ACTIVATION_BYTES = 2.0
GEMM_TILE = 16  # rows of the smallest tensor-core tile: fewer tokens are padded to it


@dataclass(frozen=True)
class Cost:
    """Arrays over token counts. ``seconds`` ≥ both roofline times; flop and bytes are ideal work of the mean GPU."""

    seconds: Array
    flop_s: Array  # seconds at 100% of the tensor peak
    byte_s: Array  # seconds at 100% of the memory bandwidth
    bound_by_compute: NDArray[np.bool_]
    busy_s: Array  # of ``seconds``, those in which the operator runs: not while a pipeline stage waits


@dataclass(frozen=True)
class Chip:
    """The accelerator facts that operators need, in SI units."""

    entry: catalog.Entry
    generation: str
    link_kind: str
    bandwidth: float  # bytes/s
    tdp_w: float
    idle_w: float
    link_bytes_s: float  # usable, one way, inside the scale-up domain
    far_bytes_s: float  # … between domains
    peaks: dict[str, float] = field(default_factory=dict, compare=False)  # FLOP/s by precision, as asked for

    @classmethod
    @cache
    def load(cls, accelerator: str) -> Chip:
        entry = catalog.load("accelerators", accelerator)
        pcie = float(entry["pcie_gb_s"])
        link = pcie if entry["link_kind"] in ("pcie", "none") else float(entry["scale_up_gb_s"])
        return cls(
            entry,
            str(entry["generation"]),
            str(entry["link_kind"]),
            float(entry["memory_bandwidth_gb_s"]) * 1e9,
            float(entry["tdp_w"]),
            float(entry["idle_w"]),
            link * 1e9,
            float(entry.get("scale_out_gb_s") or pcie) * 1e9,
        )

    def peak_flop_s(self, precision: str) -> float:
        """Dense peak in FLOP/s for weights of this precision."""
        if precision not in self.peaks:
            self.peaks[precision] = peak_flop_s(self.entry, precision)
        return self.peaks[precision]


def gemms(chip: Chip, terms: Terms, matrices: Sequence[Gemm], rows: Array) -> list[Cost]:
    """Dense GEMMs, each 2·M·n·k FLOP against the stream of its weights and activations; computed at once.

    Beside that roofline, each walks along its reduction (latency), and formats of fewer bits quantise their input.
    """
    curves = [gemm_curve(chip.generation, m.precision) for m in matrices]
    n, k, count, weight_bytes, peak, memory, compute, edge, walk, passes = np.array(
        [
            (m.n, m.k, m.count, m.weight_bytes, chip.peak_flop_s(m.precision),
             c.memory, c.compute, c.edge, c.reduction_ns, c.passes)
            for m, c in zip(matrices, curves, strict=True)
        ]
    ).T[:, :, None]  # fmt: skip
    padded = np.ceil(rows / GEMM_TILE) * GEMM_TILE
    lost = terms.gemm_edge * edge
    share = terms.flop_dense * compute / ((1.0 + lost / n) * (1.0 + lost / k))
    flop_s = padded * (2.0 * n * k * count / peak)
    moved = weight_bytes + rows * ((n + k) * ACTIVATION_BYTES * count)
    byte_s = np.where(rows > 0, moved / chip.bandwidth, 0.0)
    found = roofline(flop_s, byte_s, share, terms.mem_dense * memory)
    more = walk * 1e-9 * k * count + rows * (passes * k * count / chip.bandwidth)
    seconds = np.where(rows > 0, found.seconds + more, 0.0)
    parts = zip(seconds, found.flop_s, found.byte_s, found.bound_by_compute, seconds, strict=True)
    return [Cost(*part) for part in parts]


def roofline(flop_s: Array, byte_s: Array, flop_share: float | Array, memory_share: float | Array) -> Cost:
    compute, memory = flop_s / flop_share, byte_s / memory_share
    seconds = np.maximum(compute, memory)
    return Cost(seconds, flop_s, byte_s, compute > memory, seconds)


def covered(experts: Experts, tokens: Array) -> Array:
    """Expected share of experts that at least one of ``tokens`` picks, for uniform routing: 1 − (1 − k/E)^T.

    Copies count as experts of their own, every slot loaded alike.
    """
    chance = experts.top_k / (experts.experts + experts.redundant)
    if chance >= 1:
        return np.asarray(np.where(tokens > 0, 1.0, 0.0))
    return np.asarray(-np.expm1(tokens * np.log1p(-chance)))


def imbalance(experts: Experts, tokens: Array) -> Array:
    """Load of the busiest expert-parallel rank over the mean: 1 + √(2 ln R · (R·s − 1) / picks) (normal maximum).

    s = 1 without copies. Copies on different ranks split their expert's tokens evenly (EPLB, DeepSeek-V3 report 3.4):
    each of c has a c-th of its load's deviation, so that c slots have a c-th of the variance of one, and s is the mean
    of 1/c over experts. With every expert on every rank s = 1/R and all are equal. That popular experts stay popular is
    not modelled, neither without copies, where it costs, nor with them, where it is what they repair.
    """
    if experts.ranks == 1:
        return np.ones_like(tokens)
    picks = np.maximum(tokens * experts.top_k, 1.0)
    spread = np.sqrt(2.0 * np.log(experts.ranks) * (experts.ranks * split(experts) - 1) / picks)
    return np.asarray(np.minimum(1.0 + spread, experts.ranks))


def split(experts: Experts) -> float:
    """Mean over experts of 1 / copies, the copies dealt out evenly."""
    copies, more = divmod(experts.redundant, experts.experts)
    return ((experts.experts - more) / (copies + 1) + more / (copies + 2)) / experts.experts


def routed(chip: Chip, terms: Terms, experts: Experts, tokens: Array) -> Cost:
    """Grouped GEMMs of the routed experts, all MoE layers, with the passes over their rows: time of the busiest GPU,
    work of the mean one."""
    curve = expert_curve(chip.generation, experts.precision)
    peak = chip.peak_flop_s(experts.precision)
    active = covered(experts, tokens) * experts.local
    skew = imbalance(experts, tokens)
    picks = tokens * experts.top_k / experts.ranks
    rows = picks + active * curve.padding
    work = experts.parameters * experts.layers / experts.cut
    flop_s = np.where(tokens > 0, 2.0 * rows * work / peak, 0.0)
    expert_s = work * bytes_per_weight(experts.precision) / chip.bandwidth
    loaded = np.minimum(active * np.sqrt(skew), experts.local)
    busiest = roofline(
        flop_s * skew, loaded * expert_s, terms.flop_experts * curve.compute, terms.mem_experts * curve.memory
    )
    here = tokens * min(1.0, experts.top_k / experts.ranks) * curve.token_passes * experts.hidden
    here = here + picks * curve.pick_passes * (2.0 * experts.hidden + 3.0 * experts.inner)
    passed_s = here * (ACTIVATION_BYTES * experts.layers / chip.bandwidth)
    seconds = busiest.seconds + passed_s
    return Cost(seconds, flop_s, active * expert_s + passed_s, busiest.bound_by_compute, seconds)


def all_reduce(chip: Chip, terms: Terms, ranks: int, width: int, size: Array) -> Array:
    """Seconds of one all-reduce of ``size`` bytes over ``ranks`` GPUs: latency + ring bandwidth (nccl-tests).

    Beyond the scale-up domain of ``width`` GPUs a second ring runs over the network.
    """
    if ranks == 1:
        return np.zeros_like(size)
    near = min(ranks, width)
    share = terms.link * link_share(chip.generation, chip.link_kind, near)
    seconds = terms.collective_s + 2.0 * (near - 1) / near * size / (chip.link_bytes_s * share)
    domains = ranks // near
    if domains > 1:
        part = size / near
        far_s = 2.0 * (domains - 1) / domains * part / (chip.far_bytes_s * share)
        seconds = seconds + terms.collective_s + far_s
    return np.where(size > 0, seconds, 0.0)


def exchange(chip: Chip, terms: Terms, ranks: int, width: int, size: Array) -> Array:
    """Seconds of one gather, scatter or all-to-all in which each GPU receives ``size`` bytes in all."""
    if ranks == 1:
        return np.zeros_like(size)
    far = max(0.0, 1.0 - width / ranks)
    near = (ranks - 1) / ranks - far
    share = terms.link * link_share(chip.generation, chip.link_kind, min(ranks, width))
    seconds = terms.collective_s * (2.0 if far else 1.0) + size * near / (chip.link_bytes_s * share)
    return np.where(size > 0, seconds + size * far / (chip.far_bytes_s * share), 0.0)


def local_collectives(chip: Chip, terms: Terms, deployment: Deployment, part: Shard, tokens: Array) -> Array:
    """Collectives that see one rank's tokens: all-reduces after attention (and feed-forward without DP)."""
    per_step = part.mixers if deployment.dp > 1 else part.mixers + part.feed_forwards
    size = tokens * part.hidden * 2.0
    once = all_reduce(chip, terms, deployment.tp, deployment.gpus_per_node, size)
    share = terms.link * link_share(chip.generation, chip.link_kind, 2)
    hops = (deployment.pp - 1) * (terms.collective_s + size / (chip.link_bytes_s * share))
    return once * per_step / deployment.pp + np.where(tokens > 0, hops / deployment.pp, 0.0)


def shared_collectives(chip: Chip, terms: Terms, deployment: Deployment, part: Shard, tokens: Array) -> Array:
    """With attention DP: tokens of all ranks are gathered before the feed-forward and scattered after it.

    With expert parallelism only the picked copies travel: at most min(top_k, ranks) per token.
    """
    if deployment.dp == 1:
        return np.zeros_like(tokens)
    ranks = deployment.tp * deployment.dp
    size = tokens * part.hidden * 2.0
    if part.experts and part.experts.ranks > 1:
        size = size * min(part.experts.top_k, part.experts.ranks) / part.experts.ranks
    once = exchange(chip, terms, ranks, deployment.gpus_per_node, size)
    return 2.0 * once * part.feed_forwards / deployment.pp
