"""How much of a chip's peaks single operators reach: curves fitted on published operator measurements.

One curve per operator, chip generation and number format (catalogue file ``calibration/operators.toml``). The terms of
`physics.terms` multiply the shares here; what end-to-end measurements teach is thus told apart from what operator
measurements say. A format without a curve takes that of a format which runs on the same kernels, a generation without
one that of the generation it is nearest to.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenworks import catalog
from tokenworks.errors import CatalogError

FILE = Path(catalog.__file__).parent / "data" / "calibration" / "operators.toml"


@dataclass(frozen=True)
class GemmCurve:
    """Dense products of one number format."""

    memory: float  # share of the memory bandwidth while weights stream
    compute: float  # share of the tensor peak of large products
    edge: float  # columns lost to pipeline fill and tile edges, along each side of the matrix
    reduction_ns: float  # latency of the walk along the reduction, per element of it
    passes: float  # bytes moved per input element to quantise it


@dataclass(frozen=True)
class ExpertCurve:
    """Grouped products of routed experts, with what sorts, quantises, activates and merges their rows."""

    memory: float  # share of the memory bandwidth while expert weights stream
    compute: float  # share of the tensor peak of full tiles
    padding: float  # rows that an expert's last tile computes in vain
    token_passes: float  # passes over a token's row, whatever it picks
    pick_passes: float  # passes over a picked row, outside and inside the expert


@dataclass(frozen=True)
class CoreCurve:
    """Attention cores over cached keys (decode) or over pairs (prefill: compute alone)."""

    memory: float
    compute: float


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def _nearest(generation: str) -> Iterator[str]:
    """The generation, then those that it inherits from."""
    inherits: Mapping[str, str] = _file()["generations"]
    while True:
        yield generation
        if generation not in inherits:
            return
        generation = inherits[generation]


def _related(name: str) -> Iterator[str]:
    """The number format, then those whose kernels it shares."""
    shares: Mapping[str, str] = _file()["formats"]
    while True:
        yield name
        if name not in shares:
            return
        name = shares[name]


def _find(kind: str, generation: str, name: str) -> Mapping[str, float]:
    for known in _nearest(generation):
        table = _file()[kind].get(known, {})
        for other in _related(name):
            if other in table:
                found: Mapping[str, float] = table[other]
                return found
    raise CatalogError(f"calibration/operators.toml has no {kind} curve for {name} on {generation}")


@cache
def gemm_curve(generation: str, precision: str) -> GemmCurve:
    found = GemmCurve(**_find("gemm", generation, precision))
    return replace(found, passes=0.0) if precision in _file()["scaling"]["free"] else found


@cache
def expert_curve(generation: str, precision: str) -> ExpertCurve:
    return ExpertCurve(**_find("experts", generation, precision))


@cache
def decode_curve(generation: str, kv_bits: int, latent: bool) -> CoreCurve:
    """Of keys of 16 or 8 bits; latent: MLA."""
    return CoreCurve(**_find("decode", generation, ("mla_" if latent else "") + f"kv{kv_bits}"))


@cache
def prefill_share(generation: str, latent: bool) -> float:
    """Share of the bf16 peak over query–key pairs."""
    return _find("prefill", generation, ("mla_" if latent else "") + "pairs")["compute"]


@cache
def link_share(generation: str, link: str, ranks: int) -> float:
    """Share of the link bandwidth in rings of this many GPUs (beyond eight: as of eight). PCIe: always as of two, since
    how many share a root port is the host's affair."""
    wired, size = (generation, 2 if ranks <= 2 else 4 if ranks <= 4 else 8) if link != "pcie" else ("pcie", 2)
    return _find("reduce", wired, f"ranks{size}")["share"]


def streamed_share() -> float:
    """Share of the memory bandwidth in norms and activations."""
    return float(_file()["elementwise"]["memory"])
