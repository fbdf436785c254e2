"""21 planning cases of NVIDIA AIConfigurator: its answers and ours, both rehearsed in the twin.

Same accelerator, model, engine, formats, lengths and limits (on mean TTFT and TPOT). Demand: a closed loop, for every answer
twice: at the rival's stated concurrency per GPU (the same demand for both), and at the most callers with which the limits
still hold. --page writes the section of docs/plan-proof.md.
"""

import argparse
import csv
import json
import math
import time
from collections import Counter
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from closed_loop import ClosedLoop, Lengths, Limits, Stand
from most import SEQUENCES, Offer, Offers, said
from pages import section

from tokenworks import catalog
from tokenworks.errors import TokenworksError
from tokenworks.plan.allowed import Allowed

RIVALS = Path(__file__).parent / "data" / "rival_plans.csv"
SYSTEMS = {
    "h100-sxm": "superpod-h100-su",
    "h200-sxm": "superpod-h200-su",
    "b200": "superpod-b200-su",
    "gb200": "gb200-nvl72",
    "a100-sxm-80g": "dgx-a100",
}
DENSE, EXPERTS = 8, 32  # most GPUs of a worker: as in the rival's answers


def cases() -> dict[str, list[dict]]:
    """The rival's answers by case."""
    found: dict[str, list[dict]] = {}
    with open(RIVALS, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["case"], []).append(row)
    return found


def common(row: dict) -> dict:
    return {"model": row["model"], "precision": row["weights"], "kv_precision": row["kv"], "engine": row["engine"]}


def theirs(row: dict) -> dict:
    """The service that an answer of the rival describes."""
    own = {"tp": int(row["tp"]), "dp_attention": int(row["dp"]), "ep": int(row["ep"]), "workers": int(row["workers"])}
    if row["mode"] == "aggregated":
        return {**common(row), **own, "max_seqs": SEQUENCES}
    first = {"tp": int(row["prefill_tp"]), "dp_attention": int(row["prefill_dp"]), "ep": int(row["prefill_ep"])}
    return {
        **common(row),
        "prefill": {**first, "workers": int(row["prefill_workers"])},
        "decode": {**own, "max_seqs": SEQUENCES},
    }


def ours(row: dict, limits: Limits, lengths: Lengths) -> list[Offer]:
    """What the wide pass thinks best within the limits."""
    experts = int(catalog.load("models", row["model"])["experts"]) > 0
    may = Allowed(
        (SYSTEMS[row["accelerator"]],),
        (row["engine"],),
        (row["weights"],),
        (row["kv"],),
        pp=(1,),
        most_gpus=EXPERTS if experts else DENSE,
    )
    return Offers(row["model"], lengths, may).best(limits)


def lengths_of(row: dict) -> Lengths:
    return Lengths(float(row["isl"]), float(row["osl"]))


def rehearsed(row: dict, service: dict, callers: int, per_gpu: float, limits: Limits) -> dict:
    """An answer at the demand of the rival's answer and at the most that the limits allow."""
    lengths = lengths_of(row)
    loop = ClosedLoop(
        SYSTEMS[row["accelerator"]], service, lengths, limits.ttft_s + limits.tpot_s * lengths.output_tokens
    )
    stated = loop.at(max(1, round(per_gpu * loop.gpus)))
    most = loop.most(limits, callers)
    return {
        "config": said(service),
        "gpus": loop.gpus,
        "stated": shown(stated, limits),
        "most": most and shown(most, limits),
    }


def shown(stand: Stand, limits: Limits) -> dict:
    return {k: v if math.isfinite(v) else None for k, v in asdict(stand).items()} | {"keeps": stand.keeps(limits)}


def one(case: str) -> dict:
    """A case: the rival's better answer, ours, both rehearsed."""
    start = time.perf_counter()
    rows = cases()[case]
    row = rows[0]
    limits = Limits(float(row["max_ttft_ms"]) / 1e3, float(row["max_tpot_ms"]) / 1e3)
    chosen = max(rows, key=lambda r: float(r["tokens_s_gpu"]))
    per_gpu = int(chosen["concurrency"]) / int(chosen["gpus"])
    done = []
    for r in rows:
        found = rehearsed(r, theirs(r), int(r["concurrency"]), per_gpu, limits)
        own = {
            "tokens_s_gpu": float(r["tokens_s_gpu"]),
            "ttft_s": float(r["ttft_ms"]) / 1e3,
            "tpot_s": float(r["tpot_ms"]) / 1e3,
        }
        done.append({"mode": r["mode"], "chosen": r is chosen, "predicted": own, **found})
    tried = []
    for offer in ours(row, limits, lengths_of(row)):
        try:
            found = rehearsed(row, offer.service, offer.clients, per_gpu, limits)
        except TokenworksError as error:
            tried.append({"mode": offer.mode, "config": offer.text, "failed": str(error)})
            continue
        tried.append(
            {"mode": offer.mode, "wide_tokens_s_gpu": offer.tokens_s_gpu, "wide_clients": offer.clients, **found}
        )
    best = max((t for t in tried if t.get("most")), key=lambda t: t["most"]["tokens_s_gpu"], default=None)
    keys = ("accelerator", "model", "weights", "kv", "engine", "isl", "osl", "max_ttft_ms", "max_tpot_ms")
    return {
        "case": case,
        **{k: row[k] for k in keys},
        "clients_per_gpu": per_gpu,
        "theirs": done,
        "tried": tried,
        "ours": best,
        "seconds": time.perf_counter() - start,
    }


def measure(names: list[str]) -> dict:
    start = time.perf_counter()
    with get_context("spawn").Pool(2) as pool:
        found = list(pool.imap(one, names))
    return {"seconds": time.perf_counter() - start, "summary": summary(found), "cases": found}


def summary(found: list[dict]) -> dict:
    theirs = [next(t for t in c["theirs"] if t["chosen"]) for c in found]
    ratio = [gain(c, t) for c, t in zip(found, theirs, strict=True)]
    known = [r for r in ratio if r is not None]
    optimism = [t["predicted"]["tokens_s_gpu"] / t["stated"]["tokens_s_gpu"] for t in theirs]
    tpot = [t["predicted"]["tpot_s"] / (t["stated"]["tpot_s"] or math.inf) for t in theirs]
    own = [c["ours"]["wide_tokens_s_gpu"] / c["ours"]["most"]["tokens_s_gpu"] for c in found if c["ours"]]
    return {
        "cases": len(found),
        "their_answer_keeps_limits_as_stated": sum(t["stated"]["keeps"] for t in theirs),
        "ours_over_theirs_median": float(np.median(known)),
        "ours_over_theirs_low": float(min(known)),
        "ours_over_theirs_high": float(max(known)),
        "ours_at_least_theirs": sum(r >= 0.98 for r in known),
        "their_throughput_over_twin_median": float(np.median(optimism)),
        "their_tpot_over_twin_median": float(np.median(tpot)),
        "our_wide_pass_over_twin_median": float(np.median(own)),
        "modes": dict(Counter(c["ours"]["mode"] for c in found if c["ours"])),
        "their_modes": dict(Counter(t["mode"] for t in theirs)),
        "same_shape": sum(c["ours"]["config"] == t["config"] for c, t in zip(found, theirs, strict=True) if c["ours"]),
    }


def gain(case: dict, theirs: dict) -> float | None:
    """Ours over theirs, each at the most callers within the limits."""
    if not case["ours"] or not theirs["most"]:
        return None
    return case["ours"]["most"]["tokens_s_gpu"] / theirs["most"]["tokens_s_gpu"]


def figures(s: dict | None) -> str:
    if not s:
        return "never"
    if s["tpot_s"] is None or s["ttft_s"] is None:
        return f"{s['tokens_s_gpu']:,.0f}; overrun"
    return f"{s['tokens_s_gpu']:,.0f}; {s['ttft_s']:.2f} s, {s['tpot_s'] * 1e3:.0f} ms"


def why(case: dict, theirs: dict) -> str:
    """What makes the answers differ, from their figures alone."""
    parts = []
    ratio = theirs["predicted"]["tpot_s"] / (theirs["stated"]["tpot_s"] or math.inf)
    if ratio < 0.9 or ratio > 1.1:
        parts.append(f"their TPOT is {abs(ratio - 1):.0%} {'below' if ratio < 1 else 'above'} the twin's")
    best = case["ours"]
    if best and best["config"] == theirs["config"]:
        parts.append("same layout")
    elif best and best["mode"] != theirs["mode"]:
        parts.append(f"we {'split' if best['mode'] == 'disaggregated' else 'do not split'} prefill and decode")
    elif best:
        parts.append("other degrees")
    if not theirs["most"]:
        parts.append("theirs keeps the limits with no number of callers")
    return "; ".join(parts)


HEAD = ("case, limits", "theirs (GPUs)", "they predict", "twin, stated callers", "twin, most", "ours (GPUs)", "wide pass predicts",
        "twin, stated callers", "twin, most", "ours / theirs", "why")  # fmt: skip


def markdown(found: dict) -> str:
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * 9 + "|---:|---|"]
    return "\n".join([*lines, *("| " + " | ".join(cells(c)) + " |" for c in found["cases"])])


def cells(c: dict) -> list[str]:
    """One case as a row."""
    t, o = next(t for t in c["theirs"] if t["chosen"]), c["ours"]
    ratio = gain(c, t)
    limits = f"{float(c['max_ttft_ms']) / 1e3:g} s, {c['max_tpot_ms']} ms"
    who = f"{c['accelerator']}, {c['engine']}, {c['model']} {c['weights']}, {c['isl']}/{c['osl']}; {limits}"
    theirs = [f"{t['config']} ({t['gpus']})", figures(t["predicted"]), marked(t["stated"]), figures(t["most"])]
    ours = (
        [f"{o['config']} ({o['gpus']})", f"{o['wide_tokens_s_gpu']:,.0f}", marked(o["stated"]), figures(o["most"])]
        if o
        else ["—"] * 4
    )
    return [who, *theirs, *ours, f"{ratio:.2f}" if ratio else "—", why(c, t)]


def marked(stand: dict) -> str:
    return figures(stand) + ("" if stand["keeps"] else " ✗")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the section of docs/plan-proof.md")
    parser.add_argument("--cases", nargs="*", default=None, help="some of them; none: all")
    args = parser.parse_args()
    found = measure(args.cases or list(cases()))
    if args.page:
        section("plan-proof.md", "rival-plans", markdown(found))
    print(json.dumps(found) if args.json else json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
