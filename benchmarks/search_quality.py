"""The search on large spaces: what it finds against the best of ten times its budget.

``rehearsals``: a plan rehearses a handful of fleets, the best of every way to serve; against 60 best fleets of the wide pass.
``batches``: the wide pass looks at batches about 3% apart; against every whole number.
``pairs``: pools of prefill and decode that no other beats are paired; against ten times as many pairs.
``services``: services share one fleet, by descent; against ten times as many fleets by descent from random starts that
moves three at a time, and against all combinations where they are few.
Small spaces are held against exhaustive search in the tests.
"""

import argparse
import json
import math
import time
from typing import Any

import numpy as np
import yaml
from pages import section

from tokenworks.plan import choose, descent, make, pairing, rounds
from tokenworks.plan.candidates import NONE, Table
from tokenworks.plan.choose import search
from tokenworks.plan.demand import Demand
from tokenworks.plan.market import Market, Picks
from tokenworks.plan.reading import load, loads
from tokenworks.plan.survey import market_of
from tokenworks.plan.wide import rows
from tokenworks.spec.quantities import parse

TIMES = 10
GROWN = 8  # times the shipped demands
TPOTS = ("15 ms", "40 ms")
SHARED = (  # name, model, requests/s, prompt, answer, TPOT
    ("chat", "llama-3.3-70b", 60, 1200, 300, "50 ms"),
    ("small", "llama-3.1-8b", 200, 800, 200, "30 ms"),
    ("coding", "qwen3-32b", 40, 4000, 500, "40 ms"),
    ("agents", "gpt-oss-120b", 80, 3000, 400, "25 ms"),
    ("search", "mixtral-8x7b", 60, 2000, 150, "60 ms"),
    ("letters", "llama-3.1-70b", 30, 600, 600, "60 ms"),
    ("sorting", "qwen3-8b", 300, 500, 20, "30 ms"),
    ("notes", "mistral-7b", 150, 1500, 200, "40 ms"),
    ("deep", "qwen3-235b-a22b", 10, 2000, 1000, "60 ms"),
)


def shared(names: list[str]) -> Demand:
    """Services on three kinds of systems under one power budget."""
    workload = [
        {
            "service": name,
            "rate": f"{rate}/s",
            "arrivals": {"kind": "poisson"},
            "input": {"kind": "lognormal", "mean": prompt, "sigma": 0.7},
            "output": {"kind": "lognormal", "mean": answer, "sigma": 0.6},
        }
        for name, _, rate, prompt, answer, _ in SHARED
        if name in names
    ]
    data = {
        "demand": "shared",
        "site": {"cooling": "liquid"},
        "services": [
            {"name": name, "model": model, "slo": {"tpot_p95": tpot}}
            for name, model, *_, tpot in SHARED
            if name in names
        ],
        "workload": workload,
        "may_use": {"systems": ["hgx-h100", "hgx-h200", "hgx-b200"], "serving": "both"},
        "limits": {"power": {"budget": "1 MW", "scope": "facility"}},
    }
    return loads(yaml.safe_dump(data), "shared")


def spread(market: Market, picks: Picks, most: int) -> list[int]:
    """The best rows of the wide pass whose fleets differ in more than the batch."""
    found: dict[tuple, int] = {}
    for row in range(len(picks)):
        key = tuple(
            (
                int(t.kind[r]),
                int(space.wide.shape[t.main[r]]),
                int(t.prefill[r]) < 0 or int(space.wide.shape[t.prefill[r]]),
            )
            for t, space, r in zip(market.tables, market.spaces, picks.rows[row], strict=True)
        )
        found.setdefault(key, row)
        if len(found) == most:
            break
    return list(found.values())


def large(name: str, tpot: str | None = None) -> Demand:
    """A shipped demand, many times as large and without limits of the whole, so that whole servers hide nothing; with another
    limit on TPOT."""
    demand = load(name)
    (service,), (asked,) = demand.services, demand.workload
    update = asked.model_copy(update={"scale": asked.scale.model_copy(update={"value": asked.scale.value * GROWN})})
    slo = (
        service.slo
        if tpot is None
        else service.slo.model_copy(update={"tpot_p95_s": parse(tpot, {"ms": 1e-3}, "50 ms")})
    )
    site = demand.site.model_copy(update={"power": demand.site.power.model_copy(update={"budget_w": 0.0})})
    change = {
        "workload": (update,),
        "services": (service.model_copy(update={"slo": slo}),),
        "site": site,
        "limits": demand.limits.model_copy(update={"usd_h": None}),
    }
    return demand.model_copy(update=change)


def rehearsals(name: str) -> dict:
    demand, handful = large(name), rounds.handful
    few = make.make_plan(demand)
    most = rounds.SURVIVORS
    try:
        rounds.handful, rounds.SURVIVORS = spread, TIMES * most
        many = make.make_plan(demand)
    finally:
        rounds.handful, rounds.SURVIVORS = handful, most
    values = [p.best.figures["usd_per_mtok"] for p in (few, many)]
    return {
        "looked_at": [len(few.tried), len(many.tried)],
        "usd_per_mtok": values,
        "behind": values[0] / values[1] - 1,
        "fleets": [few.best.text, many.best.text],
    }


def closer_batches(name: str, tpot: str) -> dict:
    """A whole plan against one that looks at every whole number of requests."""
    demand, usual = large(name, tpot), rows.batches
    few = make.make_plan(demand)
    try:
        rows.batches = lambda most: np.arange(1.0, most + 1)
        many = make.make_plan(demand)
    finally:
        rows.batches = usual
    values = [p.best.figures["usd_per_mtok"] for p in (few, many)]
    counts = [p.configurations for p in (few, many)]
    return {"looked_at": counts, "usd_per_mtok": values, "behind": values[0] / values[1] - 1}


def more_pairs(name: str, tpot: str) -> dict:
    """Pools that are worth pairing, against as many of the others, by chance, as make ten times the pairs."""
    demand, usual, rng = large(name, tpot), pairing.worth_pairing, np.random.default_rng(1)
    counts, values = [], []
    for times in (1, TIMES):

        def kept(pool: Table, *judged: Any, times: int = times) -> Any:
            worth = usual(pool, *judged)
            more = rng.permutation(np.setdiff1d(np.arange(len(pool)), worth))
            return np.concatenate([worth, more[: math.ceil((math.sqrt(times) - 1) * len(worth))]])

        pairing.worth_pairing = kept
        try:
            market = market_of(demand, False)[0]
        finally:
            pairing.worth_pairing = usual
        counts.append(sum(int((t.prefill != NONE).sum()) for t in market.tables))
        values.append(float(search(market).picks.columns["usd_per_mtok"][0]))
    return {"looked_at": counts, "usd_per_mtok": values, "behind": values[0] / values[1] - 1}


def services(names: list[str]) -> dict:
    """The descent against ten descents from random starts that move three services at once; where there are few
    combinations also against all of them."""
    market = market_of(shared(names), False)[0]
    whole, exact = search(market), choose.EXACT
    try:
        choose.EXACT = 0
        found = search(market)
    finally:
        choose.EXACT = exact
    kept = [choose.own_kept(market, i) for i in range(len(market.tables))]
    fronts = [choose.shortlist(market, i, np.flatnonzero(k)) for i, k in enumerate(kept)]
    rng, visits = np.random.default_rng(1), descent.Visits()
    best = float(whole.picks.columns["usd_h"][0]) if whole.exact else np.inf
    while visits.seen < TIMES * found.seen:
        start = np.array([rng.choice(front) for front in fronts], np.int64)
        end = choose.ranked(market, descent._moved(market, visits, start, fronts, 3)[None, :], 1, False, 0.0)
        best = min(best, float(end.picks.columns["usd_h"][0])) if end.feasible else best
    value = float(found.picks.columns["usd_h"][0])
    return {
        "combinations": float(np.prod([float(len(f)) for f in fronts])),
        "all_looked_at": whole.exact,
        "looked_at": [found.seen, visits.seen],
        "usd_h": [value, best],
        "behind": value / best - 1,
        "bound_gap": found.gap,
    }


def measure() -> dict:
    start = time.perf_counter()
    found = {
        **{f"rehearsals, {n}": rehearsals(n) for n in ("chat", "reasoning")},
        **{f"batches, chat, TPOT {t}": closer_batches("chat", t) for t in ("20 ms", "30 ms", *TPOTS)},
        **{f"pairs, reasoning, TPOT {t}": more_pairs("reasoning", t) for t in TPOTS},
        **{f"{n} services": services([one[0] for one in SHARED[:n]]) for n in (5, 7, 9)},
    }
    return {
        "seconds": time.perf_counter() - start,
        "most_behind": max(f["behind"] for f in found.values()),
        "spaces": found,
    }


def markdown(found: dict) -> str:
    lines = ["| space | looked at | with ten times the budget | objective | behind |", "|---|---:|---:|---:|---:|"]
    for name, one in found["spaces"].items():
        unit = next(k for k in ("usd_per_mtok", "usd_h") if k in one)
        few, many = one["looked_at"]
        whole = f", all {one['combinations']:,.0f}" if one.get("all_looked_at") else ""
        by = "wide pass" if name.startswith("pairs") else "rehearsed"
        said = {"usd_per_mtok": f"$/Mtok, {by}", "usd_h": "$/h"}[unit]
        lines.append(
            f"| {name} | {few:,} | {many:,}{whole} | {one[unit][0]:.4g}, {one[unit][1]:.4g} {said} | {one['behind']:.2%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the section of docs/plan-proof.md")
    args = parser.parse_args()
    found = measure()
    if args.page:
        section("plan-proof.md", "search", markdown(found))
    print(json.dumps(found) if args.json else json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
