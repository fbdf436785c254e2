"""Site calibration on published sweeps: a few points of each are known, the others are predicted.

python benchmarks/site.py                 every sweep, 5 points known, with two processes (minutes)
python benchmarks/site.py --every 10      each tenth sweep
python benchmarks/site.py --record        … and write those of new groups into calibration/left_out.json, for the accuracy page
python benchmarks/site.py --bounds        what calibration/site.toml holds as bounds, for 1, 2, 3 and 5 points
"""

import argparse
import json
import multiprocessing
import time

import numpy as np

from tokenworks.accuracy import recording
from tokenworks.accuracy.coverage import METRIC, columns_of
from tokenworks.accuracy.intervals import bounds
from tokenworks.accuracy.left_out import NAME
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.site_sweeps import HeldOut, held_out, sweeps, without_own
from tokenworks.errors import InputError
from tokenworks.physics.terms import CALIBRATION

METRICS = {"output tokens/s/GPU": [0], "TPOT": [1, 2], "TTFT": [3, 4], "J/output token": [5]}
KNOWN = (1, 2, 3, 5)
GOAL = 0.04
SWEEPS = []  # what forked processes find


def one(job):
    number, count, bare = job
    try:
        return held_out(SWEEPS[number], count, without_own() if bare else None)
    except InputError as error:
        return f"{SWEEPS[number].name}: {error}"


def all_of(count: int, bare: bool, every: int, processes: int) -> list[HeldOut]:
    jobs = [(number, count, bare) for number in range(0, len(SWEEPS), every) if len(SWEEPS[number].cases) > count]
    if processes == 1:
        answers = [one(job) for job in jobs]
    else:
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            answers = pool.map(one, jobs, chunksize=4)
    wrong = [answer for answer in answers if isinstance(answer, str)]
    if wrong:
        raise SystemExit("\n".join(wrong))
    return answers


def errors(found: list[HeldOut], columns: list[int], side: str) -> list[np.ndarray]:
    """Absolute relative errors by sweep, of the sweeps that have this metric."""
    by_sweep = [np.abs(np.expm1(-getattr(its, side)[:, columns])) for its in found]
    return [e[np.isfinite(e)] for e in by_sweep if np.isfinite(e).any()]


def known_loads(found: list[HeldOut]) -> list[HeldOut]:
    """Those whose lengths are published: an owner knows his own."""
    return [its for its in found if its.known_load]


def summary(found: list[HeldOut]) -> dict[str, dict[str, float]]:
    """By metric: points, median and p90 error before and after, and the share of sweeps whose median meets the goal."""
    table = {}
    for name, columns in METRICS.items():
        before, after = (errors(found, columns, side) for side in ("before", "after"))
        if not before:
            continue
        line = {"sweeps": len(before), "points": sum(map(len, before))}
        for side, its in (("before", before), ("after", after)):
            whole = np.concatenate(its)
            line |= {f"{side}_median": float(np.median(whole)), f"{side}_p90": float(np.quantile(whole, 0.9))}
            line[f"{side}_sweeps_in_goal"] = float(np.mean([np.median(e) <= GOAL for e in its]))
        table[name] = line
    return table


def text(title: str, table: dict[str, dict[str, float]]) -> str:
    lines = [
        title,
        "",
        "| | sweeps | points | no point known | known | sweeps with a median within 4% |",
        "|---|---|---|---|---|---|",
    ]
    for name, t in table.items():
        before, after = (f"{t[f'{s}_median']:.1%} / {t[f'{s}_p90']:.0%}" for s in ("before", "after"))
        share = f"{t['before_sweeps_in_goal']:.0%} → {t['after_sweeps_in_goal']:.0%}"
        lines.append(f"| {name} | {t['sweeps']} | {t['points']:,} | {before} | {after} | {share} |")
    return "\n".join(lines)


def bounds_text(every: int, processes: int) -> str:
    """Conformal 80% bounds of the left-out points, the shipped calibration and that without own effects together."""
    lines = {kind: [f"[bounds.{kind}]"] for kind in dict.fromkeys(METRIC)}
    for count in KNOWN:
        found = [its for bare in (False, True) for its in all_of(count, bare, every, processes)]
        for kind, said in lines.items():
            columns = columns_of(kind)
            fit_for = [its for its in found if its.known_load or kind == "energy"]
            left = np.concatenate([its.after[:, columns].ravel() for its in fit_for])
            low, high = bounds(list(left[np.isfinite(left)]))
            said.append(f"{count} = [{low:.4f}, {high:.4f}]")
    return "\n".join(line for said in lines.values() for line in said)


def record(found: list[HeldOut]) -> None:
    """Errors of the points that were not known, as the last kind of leaving out."""
    path = CALIBRATION / NAME
    known = json.loads(path.read_text(encoding="utf-8"))
    known["kinds"]["sweeps"] = recording.errors(np.concatenate([its.after for its in found]))
    path.write_text(json.dumps(known, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bounds", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    began = time.perf_counter()
    SWEEPS[:] = sweeps(load_measurements())
    if args.bounds:
        print(bounds_text(args.every, args.processes))
        return
    tables = {}
    for title, bare in (("shipped", False), ("without the groups' own effects", True)):
        found = all_of(args.points, bare, args.every, args.processes)
        tables[title] = summary(found)
        tables[f"{title}, published lengths"] = summary(known_loads(found))
        if args.record and bare:
            record(found)
    if args.json:
        print(json.dumps({"points": args.points, "seconds": time.perf_counter() - began, **tables}))
        return
    for title, table in tables.items():
        print(text(f"{args.points} points known; calibration {title}", table), end="\n\n")


if __name__ == "__main__":
    main()
