"""Robust plans against errors that they do not know: how often all objectives hold.

Errors of predictions whose (accelerator, model, engine) no fit had seen are split in two halves by that group. A robust plan
is made with margins from one half; its objectives are then held against every row of the other half: TTFT, TPOT and
throughput of one experiment, off together. Both ways round. Disaggregated experiments, of which no fit has seen any, are
split likewise. --page writes the section of docs/plan-proof.md.
"""

import argparse
import json
import time
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

import numpy as np
import yaml
from pages import section

from tokenworks.accuracy import intervals
from tokenworks.accuracy.held_out import Error, as_joint, as_residuals, pools_unseen, unseen
from tokenworks.physics.fleet import fleet
from tokenworks.plan import robust
from tokenworks.plan.demand import Demand
from tokenworks.plan.held import share_held
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import load, loads
from tokenworks.plan.result import Option, Plan
from tokenworks.spec.loading import loads as factory

SHIPPED = ("chat", "reasoning")
# name, model, systems, requests/s, mean prompt and answer, objectives
VARIED = (
    ("assistant", "llama-3.1-8b", ["hgx-h100"], 1500, 1024, 256, {"ttft_p95": "500 ms", "tpot_p95": "30 ms"}),
    ("summaries", "qwen3-32b", ["hgx-h200"], 60, 8000, 300, {"ttft_p95": "4 s", "tpot_p95": "60 ms"}),
    ("agents", "gpt-oss-120b", ["hgx-b200"], 500, 4000, 500, {"ttft_p95": "1 s", "tpot_p95": "25 ms"}),
    ("letters", "llama-3.3-70b", ["hgx-b200", "gb200-nvl72"], 300, 1500, 800, {"e2e_p95": "90 s"}),
    ("coding", "qwen3-235b-a22b", ["hgx-h200"], 80, 3000, 600, {"ttft_p95": "4 s", "tpot_p95": "80 ms"}),
    ("thinking", "deepseek-r1", ["hgx-b200"], 120, 1500, 2000, {"tpot_p95": "60 ms"}),
    ("extraction", "mixtral-8x7b", ["hgx-h100"], 400, 2000, 100, {"tpot_p95": "60 ms"}),
    ("research", "llama-3.1-405b", ["hgx-h200"], 25, 2000, 700, {"ttft_p95": "5 s", "tpot_p95": "100 ms"}),
)


def demands() -> dict[str, Demand]:
    found = {name: load(name) for name in SHIPPED}
    for name, model, systems, rate, prompt, answer, slo in VARIED:
        data = {
            "demand": name,
            "site": {"cooling": "liquid"},
            "services": [{"name": name, "model": model, "slo": slo}],
            "workload": [
                {
                    "service": name,
                    "arrivals": {"kind": "gamma", "cv": 1.3},
                    "rate": f"{rate}/s",
                    "input": {"kind": "lognormal", "mean": prompt, "sigma": 0.7},
                    "output": {"kind": "lognormal", "mean": answer, "sigma": 0.6},
                }
            ],
            "may_use": {"systems": systems, "serving": "aggregated"},
            "run": {"requests": 1000, "seed": 3},
        }
        found[name] = loads(yaml.safe_dump(data), name)
    return found


@contextmanager
def margins_from(errors: list[Error]):
    """Predictions are taken to be off as these were; every deployment is one that was never measured."""
    true, together = intervals.shipped, robust.joint_errors
    known = true()
    bounds = known["bounds"] | intervals.build(as_residuals(errors))
    table = {**known, "bounds": bounds, "known": {**known["known"], "groups": []}}
    intervals.shipped, robust.joint_errors = lambda: table, lambda: as_joint(errors)
    robust.forget()
    try:
        yield
    finally:
        intervals.shipped, robust.joint_errors = true, together
        robust.forget()


def slowed(best: Option, demand: Demand) -> float:
    """What the margins took off the capacity, at least."""
    (service,) = demand.services
    slo = service.slo
    limits = {"ttft": slo.ttft_p95_s or slo.e2e_p95_s, "tpot": slo.tpot_p95_s or slo.e2e_p95_s, "throughput": True}
    deployments = tuple(g.deployment for g in fleet(factory(best.yaml, "plan"))[0].groups)
    return robust.most_capacity(deployments, tuple(m for m, there in limits.items() if there), demand.headroom)


def said(plan: Plan, share: float | None) -> dict:
    best = plan.best
    return {
        "held": share,
        "usd_per_mtok": best.figures["usd_per_mtok"] if best else None,
        "gpus": best.figures["gpus"] if best else None,
        "what": best.text if best else "; ".join(w.text for w in plan.relaxations[:1]) or "infeasible",
        "own_word": best.held_share if best else None,
    }


def one(name: str, errors: list[Error]) -> dict:
    """A demand: a plan without margins, and one with margins of each half, each against the other half."""
    demand, start = demands()[name], time.perf_counter()
    halves = [[e for e in errors if e.half == h] for h in (0, 1)]
    plain = make_plan(demand)
    found = {"demand": name, "plain": said(plain, share_held(plain.best, errors) if plain.best else None)}
    shipped = make_plan(demand, robust=True)
    off = slowed(shipped.best, demand) if shipped.best else 1.0
    found["shipped margins"] = said(shipped, share_held(shipped.best, errors, off) if shipped.best else None)
    for half in (0, 1):
        with margins_from(halves[half]):
            plan = make_plan(demand, robust=True)
            off = slowed(plan.best, demand) if plan.best else 1.0
        found[f"margins of half {half}"] = said(
            plan, share_held(plan.best, halves[1 - half], off) if plan.best else None
        )
    return found | {"seconds": time.perf_counter() - start}


def measure(names: list[str]) -> dict:
    start = time.perf_counter()
    errors = unseen() + pools_unseen()
    with get_context("spawn").Pool(2) as pool:
        found = list(pool.imap(partial(one, errors=errors), names))
    columns = [k for k in found[0] if k.startswith(("plain", "margins", "shipped"))]
    shares = {k: [f[k]["held"] for f in found if f[k]["held"] is not None] for k in columns}
    halves = shares["margins of half 0"] + shares["margins of half 1"]
    summary = {k: {"plans": len(v), "mean": float(np.mean(v)), "least": float(min(v))} for k, v in shares.items()}
    summary["both halves"] = {
        "plans": len(halves),
        "mean": float(np.mean(halves)),
        "least": float(min(halves)),
        "at_least_90_percent": sum(s >= 0.9 for s in halves),
    }
    return {"seconds": time.perf_counter() - start, "errors": len(errors), "summary": summary, "demands": found}


def markdown(found: dict) -> str:
    lines = [
        "| demand | without margins: held, $/Mtok | shipped margins | margins of one half: held in the other | answer |",
        "|---|---:|---:|---:|---|",
    ]
    cell = lambda c: f"{c['held']:.0%}, {c['usd_per_mtok']:.3g}" if c["held"] is not None else "infeasible"  # noqa: E731
    for f in found["demands"]:
        halves = "; ".join(cell(f[f"margins of half {h}"]) for h in (0, 1))
        lines.append(
            f"| {f['demand']} | {cell(f['plain'])} | {cell(f['shipped margins'])} | {halves} | {f['margins of half 0']['what']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the section of docs/plan-proof.md")
    parser.add_argument("--demands", nargs="*", default=None, help="some of them; none: all")
    args = parser.parse_args()
    found = measure(args.demands or list(demands()))
    if args.page:
        section("plan-proof.md", "robust", markdown(found))
    print(json.dumps(found) if args.json else json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
