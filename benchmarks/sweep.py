"""Speed-up of a sweep on processes and on Ray over one process, per core, and whether the bytes are the same.

Points are the Azure conversation trace on eight GPUs over four loads and eight seeds. Workers are warm: what is measured on
Ray begins after its start, which is given apart. The machine's load is printed: where other work shares the cores, the wall
clock says little; ``work_kept`` is the processor time of one process over that of all (1: sharing out costs nothing).
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
from tokenworks.plan.sweep.points import Changes, grid
from tokenworks.plan.sweep.run import sweep
from tokenworks.report.sweep_files import sweep_files
from tokenworks.spec import loads
from tokenworks.twin.spread import Crew, cores, spread

REPEATS = 3
FILE = """
factory: bench
systems: [{id: box, system: hgx-h100}]
services: [{name: chat, model: llama-3.1-8b, precision: fp8}]
workload: [{service: chat, trace: azure-2023-conversation, scale: 70% of sustainable}]
run: {horizon: 20 min}
"""
OVER = (
    "workload.chat.scale=30% of sustainable,50% of sustainable,70% of sustainable,90% of sustainable",
    "run.seed=1,2,3,4,5,6,7,8",
)


def timed(crew: Crew, points: list[Changes]) -> tuple[float, float, dict[str, bytes]]:
    """Wall seconds of a sweep, processor seconds of this process and those that it ended, and the sweep's files."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        start, used = time.perf_counter(), processor_s()
        found = sweep(loads(FILE), points, crew, journal)
        return time.perf_counter() - start, processor_s() - used, sweep_files(found)


def processor_s() -> float:
    return sum(os.times()[:4])


def best(crew: Crew, points: list[Changes]) -> tuple[float, float, dict[str, bytes]]:
    """The least disturbed of a few runs."""
    runs = [timed(crew, points) for _ in range(REPEATS)]
    return min(r[0] for r in runs), min(r[1] for r in runs), runs[0][2]


def on_ray(size: int, points: list[Changes]) -> tuple[float, float, dict[str, bytes]]:
    """Seconds of the start (Ray and warm workers), of the sweep, and its files."""
    import ray

    start = time.perf_counter()
    ray.init(address="local", num_cpus=size, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        list(spread(partial(row_of, loads(FILE)), points[: 2 * size], Crew(size, ray=True)))
        begun_s = time.perf_counter() - start
        wall_s, _, files = best(Crew(size, ray=True), points)
        return begun_s, wall_s, files
    finally:
        ray.shutdown()


def measure(size: int) -> dict[str, object]:
    points = grid([axis(text) for text in OVER])
    row_of(loads(FILE), points[0])  # the trace is read, kernels are compiled
    load = os.getloadavg()[0]
    one_s, one_cpu_s, one = best(Crew(1), points)
    many_s, many_cpu_s, many = best(Crew(size), points)
    found: dict[str, object] = {
        "points": len(points),
        "cores": size,
        "load_before": load,
        "one_s": one_s,
        "processes_s": many_s,
        "processes_speedup_per_core": one_s / many_s / size,
        "processes_work_kept": one_cpu_s / many_cpu_s,
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
