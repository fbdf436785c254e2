"""Speed-up of a sweep on processes and on Ray over one process, per core, and whether the bytes are the same.

Points are the Azure conversation trace on eight GPUs over four loads and three seeds. Workers are warm: what is measured
on Ray begins after its start, which is given apart. The load of the machine before the measurement is printed: where other
work shares the cores, the speed-up says little.
"""

import argparse
import importlib.util
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from tokenworks.plan.sweep.axes import axis
from tokenworks.plan.sweep.figures import row_of
from tokenworks.plan.sweep.journal import Journal
from tokenworks.plan.sweep.points import grid
from tokenworks.plan.sweep.run import sweep
from tokenworks.report.sweep_files import sweep_files
from tokenworks.spec import loads
from tokenworks.twin.spread import Crew, cores, spread

FILE = """
factory: bench
systems: [{id: box, system: hgx-h100}]
services: [{name: chat, model: llama-3.1-8b, precision: fp8}]
workload: [{service: chat, trace: azure-2023-conversation, scale: 70% of sustainable}]
run: {horizon: 10 min}
"""
OVER = (
    "workload.chat.scale=30% of sustainable,50% of sustainable,70% of sustainable,90% of sustainable",
    "run.seed=1,2,3",
)


def timed(crew: Crew, points: list[tuple[tuple[str, str], ...]]) -> tuple[float, dict[str, bytes]]:
    """Wall seconds of a sweep, and its files."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        start = time.perf_counter()
        found = sweep(loads(FILE), points, crew, journal)
        return time.perf_counter() - start, sweep_files(found)


def on_ray(size: int, points: list[tuple[tuple[str, str], ...]]) -> tuple[float, float, dict[str, bytes]]:
    """Seconds of the start (Ray and warm workers), of the sweep, and its files."""
    import ray

    start = time.perf_counter()
    ray.init(address="local", num_cpus=size, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    list(spread(partial(row_of, loads(FILE)), points[: 2 * size], Crew(size, ray=True)))
    begun_s = time.perf_counter() - start
    try:
        return begun_s, *timed(Crew(size, ray=True), points)
    finally:
        ray.shutdown()


def measure(size: int) -> dict[str, object]:
    points = grid([axis(text) for text in OVER])
    row_of(loads(FILE), points[0])  # the trace is read, kernels are compiled
    load = os.getloadavg()[0]
    one_s, one = timed(Crew(1), points)
    many_s, many = timed(Crew(size), points)
    found: dict[str, object] = {
        "points": len(points),
        "cores": size,
        "load_before": load,
        "one_s": one_s,
        "processes_s": many_s,
        "processes_speedup_per_core": one_s / many_s / size,
        "processes_same_bytes": one == many,
    }
    if importlib.util.find_spec("ray") is None:
        return found | {"ray": 'not installed: pip install "tokenworks[ray]"'}
    begun_s, ray_s, rays = on_ray(size, points)
    return found | {
        "ray_start_s": begun_s,
        "ray_s": ray_s,
        "ray_speedup_per_core": one_s / ray_s / size,
        "ray_same_bytes": one == rays,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--processes", type=int, default=cores())
    args = parser.parse_args()
    found = measure(args.processes)
    print(json.dumps(found) if args.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
