"""Fits the operator curves of `catalog/data/calibration/operators.toml` on published operator measurements.

    python tools/fit_operators.py FOLDER src/tokenworks/catalog/data/calibration/operators.toml

FOLDER is `aiconfigurator_core/systems/data` of the PyPI package aiconfigurator-core 0.12 (Apache-2.0), unpacked; only
figures are read from it and only fitted numbers leave this tool. Each curve is fitted for one generation and number
format over all its systems and engines at once, on logarithms, robustly; each engine's kernel has a floor of its own
(launches of isolated operators), which is not kept: the model counts launches. Left out: vLLM's block-FP8 GEMMs and
kernels that no engine chooses by default or that are bound by their host.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from operator_tables import SYSTEMS, Points, attention_points, expert_points, gemm_points, reduce_points
from scipy.optimize import least_squares

Model = Callable[[np.ndarray, Points], np.ndarray]
ROBUST = 0.15  # log error beyond which a point counts less
POINTS = 1200  # of one kernel, drawn at random: large tables must not outvote small ones


def gemm_s(x: np.ndarray, p: Points) -> np.ndarray:
    memory, compute, edge, reduction_ns, passes = x
    moved = p["n"] * p["k"] * p["bits"] / 8 + p["m"] * (p["n"] + p["k"]) * 2
    flop = 2 * np.ceil(p["m"] / 16) * 16 * p["n"] * p["k"] * (1 + edge / p["n"]) * (1 + edge / p["k"])
    roof = np.maximum(moved / (p["bandwidth"] * memory), flop / (p["peak"] * compute))
    return roof + reduction_ns * 1e-9 * p["k"] + passes * p["m"] * p["k"] / p["bandwidth"]


def expert_s(x: np.ndarray, p: Points) -> np.ndarray:
    memory, compute, padding, token_passes, pick_passes = x
    picks = p["tokens"] * p["topk"] / p["ep"]
    active = np.minimum(p["experts"] / p["ep"], np.maximum(picks, 1))
    work = 3 * p["hidden"] * p["inner"]
    roof = np.maximum(
        active * work * p["bits"] / 8 / (p["bandwidth"] * memory),
        2 * (picks + padding * active) * work / (p["peak"] * compute),
    )
    rows = token_passes * p["tokens"] * p["hidden"] + pick_passes * picks * (2 * p["hidden"] + 3 * p["inner"])
    return roof + 2 * rows / p["bandwidth"]


def decode_s(x: np.ndarray, p: Points) -> np.ndarray:
    memory, compute = x
    return np.maximum(p["byte"] / (p["bandwidth"] * memory), p["flop"] / (p["peak"] * compute))


def prefill_s(x: np.ndarray, p: Points) -> np.ndarray:
    return p["flop"] / (p["peak"] * x[0])


def reduce_s(x: np.ndarray, p: Points) -> np.ndarray:
    return p["moved"] / (p["link"] * x[0]) + x[1] * 1e-6


# model, names of its numbers, where they start, how tightly they are held there (log), bounds
KINDS: dict[str, tuple[Model, tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "gemm": (
        gemm_s,
        ("memory", "compute", "edge", "reduction_ns", "passes"),
        (0.85, 0.65, 60.0, 0.5, 2.0),
        (0.5, 0.5, 0.5, 2.0, 1.5),
        (0.97, 0.95, 1000.0, 3.0, 8.0),
    ),
    "experts": (
        expert_s,
        ("memory", "compute", "padding", "token_passes", "pick_passes"),
        (0.85, 0.6, 48.0, 4.0, 2.0),
        (0.5, 0.5, 0.7, 0.7, 0.7),
        (0.97, 0.95, 128.0, 40.0, 8.0),
    ),
    "decode": (decode_s, ("memory", "compute"), (0.8, 0.5), (0.5, 0.5), (0.97, 0.95)),
    "prefill": (prefill_s, ("compute",), (0.45,), (1.0,), (0.95,)),
    "reduce": (reduce_s, ("share", "latency_us"), (0.7, 5.0), (1.0, 1.0), (1.3, 100.0)),
}
# Unquantised inputs need no pass; where there is one, it looks like an edge, and the edge is that of bf16.
FIXED = {("gemm", "bf16"): {4: 1e-6}, **{("gemm", p): {2: 60.0} for p in ("fp8", "fp8_block", "nvfp4")}}


def fitted(kind: str, precision: str, groups: list[Points]) -> tuple[np.ndarray, np.ndarray]:
    """(the curve's numbers, one floor in seconds per kernel)."""
    model, _, start, held, high = KINDS[kind]
    begin = np.array(start)
    spread = np.array(held)
    for place, value in FIXED.get((kind, precision), {}).items():
        begin[place], spread[place] = value, 1e-2
    count = len(groups)

    def residual(x: np.ndarray) -> np.ndarray:
        curve, parts = np.exp(x[count:]), []
        for floor, points in zip(np.exp(x[:count]), groups, strict=True):
            r = np.log((floor * 1e-6 + model(curve, points)) / points["seconds"])
            parts.append(r * np.sqrt(POINTS / len(r) / count))
        return np.concatenate([*parts, 3.0 * (x[count:] - np.log(begin)) / spread])

    upper = np.concatenate([np.full(count, 6.0 if kind != "reduce" else -9.0), np.log(high)])
    first = np.concatenate([np.full(count, 1.5 if kind != "reduce" else -10.0), np.log(begin)])
    found = least_squares(
        residual, first, bounds=(np.full(len(first), -16.0), upper), loss="soft_l1", f_scale=ROBUST, max_nfev=100
    ).x
    return np.exp(found[count:]), np.exp(found[:count]) * 1e-6


def errors(kind: str, curve: np.ndarray, floors: np.ndarray, groups: list[Points]) -> np.ndarray:
    model = KINDS[kind][0]
    return np.concatenate(
        [np.abs(np.log((f + model(curve, p)) / p["seconds"])) for f, p in zip(floors, groups, strict=True)]
    )


def left_out(kind: str, precision: str, systems: list[str], groups: list[Points]) -> float | None:
    """Median error of whole systems that the curve has not seen (floors as fitted with them: they are not shipped)."""
    whole, found = fitted(kind, precision, groups), []
    if len(set(systems)) == 1:
        return None
    for system in sorted(set(systems)):
        rest = [g for s, g in zip(systems, groups, strict=True) if s != system]
        own = [number for number, s in enumerate(systems) if s == system]
        curve, _ = fitted(kind, precision, rest)
        found.append(errors(kind, curve, whole[1][own], [groups[number] for number in own]))
    return float(np.median(np.concatenate(found)))


def drawn(points: Points, seed: int = 0) -> Points:
    size = len(points["seconds"])
    keep = np.random.default_rng(seed).permutation(size)[:POINTS]
    return {name: values[keep] for name, values in points.items()}


def tables(folder: Path, family: str, name: str) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
    """(system, engine, columns) of each table, the latest version that is complete."""
    for system in SYSTEMS:
        for backend in sorted((folder / system / family).glob("*")):
            files = sorted(backend.glob(f"*/{name}.parquet"))
            if not files:
                continue
            most = max(f.stat().st_size for f in files)
            whole = [f for f in files if f.stat().st_size > 0.3 * most]
            read = pq.read_table(whole[-1])
            yield system, backend.name, {c: read[c].to_numpy(zero_copy_only=False) for c in read.column_names}


SOURCES = (
    ("gemm", "gemm", "gemm_perf", gemm_points),
    ("experts", "moe", "moe_perf", expert_points),
    ("decode", "attention", "generation_attention_perf", attention_points),
    ("decode", "mla", "generation_mla_perf", attention_points),
    ("prefill", "attention", "context_attention_perf", attention_points),
    ("prefill", "mla", "context_mla_perf", attention_points),
    ("reduce", "comm", "custom_allreduce_perf", reduce_points),
)


def main(folder: Path, target: Path) -> None:
    found: dict[tuple[str, str, str], list[tuple[str, Points]]] = defaultdict(list)
    for kind, family, name, points_of in SOURCES:
        for system, engine, columns in tables(folder, family, name):
            for key, points in points_of(system, engine, family, columns):
                found[kind, SYSTEMS[system][1], key].append((system, drawn(points)))
    lines = [HEADER]
    for (kind, generation, key), pairs in sorted(found.items()):
        systems, groups = [s for s, _ in pairs], [p for _, p in pairs]
        curve, floors = fitted(kind, key, groups)
        error = errors(kind, curve, floors, groups)
        lines += section(kind, generation, key, curve, error, left_out(kind, key, systems, groups), systems)
        print(lines[-2 - len(curve)], *lines[-1 - len(curve) :], sep="\n  ", flush=True)
    target.write_text("\n".join(lines) + "\n")


def section(
    kind: str, generation: str, key: str, curve: np.ndarray, error: np.ndarray, out: float | None, systems: list[str]
) -> list[str]:
    median, high = np.median(error), np.quantile(error, 0.9)
    told = f"fitted on {', '.join(dict.fromkeys(systems))}; log error {median:.2f}, p90 {high:.2f}"
    told += "" if out is None else f"; of systems left out {out:.2f}"
    values: list[Any] = [f"[{kind}.{generation}.{key}]  # {told}"]
    for name, value in zip(KINDS[kind][1], curve, strict=True):
        values.append(f"{name} = {0.0 if value < 1e-4 else float(f'{value:.3g}')}")
    return values


HEADER = """# How much of the tensor peak, the memory bandwidth and the link bandwidth single operators reach, by generation and
# number format: curves fitted by tools/fit_operators.py on the operator tables of PyPI aiconfigurator-core 0.12
# (NVIDIA, Apache-2.0; figures only). The terms of priors.toml multiply them. docs/operators.md says what each means.
source = "aiconfigurator-systems"

[elementwise]  # norms and activations: as large products stream their weights; no table
memory = 0.8

[scaling]  # inputs that the kernels before a product scale (norms, activations): no pass of their own, unlike in the tables
free = ["fp8", "int8"]

[generations]  # without tables: inherits from
orin = "ampere"
thor = "blackwell"
rubin = "blackwell"
feynman = "blackwell"
cdna3 = "hopper"
cdna4 = "blackwell"
gaudi = "hopper"
tpu = "hopper"
trainium = "hopper"
battlemage = "ada"
pcie = "blackwell-rtx"  # all-reduces over PCIe, whatever the chip
ada = "hopper"
ampere = "hopper"
blackwell-rtx = "blackwell"

[formats]  # without tables: runs on the kernels of
fp32 = "fp16"
fp16 = "bf16"
int8 = "fp8"
fp8 = "bf16"
mxfp8 = "fp8_block"
mxfp6 = "fp8_block"
fp8_block = "fp8"
nvfp4 = "mxfp4"
mxfp4 = "w4a16"
int4 = "w4a16"
w4a16 = "bf16"
kv4 = "kv8"
kv8 = "kv16"
mla_kv4 = "mla_kv8"
mla_kv8 = "mla_kv16"
"""

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
