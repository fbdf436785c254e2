"""Ranking against reality: how well the configuration that the model ranks first did when it was measured.

Prints shares of the best measured throughput per GPU (median, p10), Kendall's τ, and the worst groups, with predictions as
shipped and with every (accelerator, model, engine) group left out of the fit that predicts it. --page writes the section of
docs/plan-proof.md.
"""

import argparse
import json
import time
from collections import defaultdict

import numpy as np
from pages import section

from tokenworks.accuracy.left_out import left_out
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.ranking import LIMITS_MS, choice, config_of, degrees_key, groups, kendall, limits_key
from tokenworks.accuracy.validate import ASSUMED, OK, validate

PRINTED = ("trtllm_docs_throughput", "inferencex_fixture", "mlenergy_v3", "h200_gptoss120b_nebius")
WORST = 6


def predictions() -> dict[str, list]:
    """Rows with answers, by how they were predicted; those alone that stand beside another configuration."""
    measured = [m for m in load_measurements() if not m.problem]
    configs = {key: defaultdict(set) for key in (degrees_key, limits_key)}
    for m in measured:
        for key, found in configs.items():
            found[key(m.row)].add(config_of(m.row, key is limits_key))
    several = lambda m: any(key(m.row) is not None and len(found[key(m.row)]) > 1 for key, found in configs.items())  # noqa: E731
    measured = [m for m in measured if several(m)]
    out = left_out().answered("groups", measured)
    answers = validate(measured, 2, lambda _: None)
    shipped = [(m, a) for m, a in zip(measured, answers, strict=True) if a.status in (OK, ASSUMED)]
    known = {m.id for m, _ in out}
    return {
        "as shipped": shipped,
        "as shipped, same rows": [(m, a) for m, a in shipped if m.id in known],
        "groups left out": out,
    }


def summary(choices: list) -> dict:
    shares = np.array([c.share for c in choices])
    thumb = np.array([c.smallest.tokens_s_gpu[0] / c.best.tokens_s_gpu[0] for c in choices])
    blind = np.array([np.mean([f.tokens_s_gpu[0] for f in c.group.figures]) / c.best.tokens_s_gpu[0] for c in choices])
    taus = [kendall([f.tokens_s_gpu for f in c.group.figures]) for c in choices if len(c.group.figures) > 2]
    return {
        "groups": len(choices),
        "configurations": sum(len(c.group.figures) for c in choices),
        "models_on_accelerators": len({(c.group.key[2], c.group.key[3]) for c in choices}),
        "median_share": float(np.median(shares)),
        "mean_share": float(shares.mean()),
        "p10_share": float(np.quantile(shares, 0.1)),
        "best_chosen": float((shares >= 1 - 1e-9).mean()),
        "within_5_percent": float((shares >= 0.95).mean()),
        "limit_broken": float(np.mean([not c.kept for c in choices])),
        "thumb_mean_share": float(thumb.mean()),
        "thumb_p10_share": float(np.quantile(thumb, 0.1)),
        "blind_mean_share": float(blind.mean()),
        "kendall_groups": len(taus),
        "kendall_median": float(np.nanmedian(taus)) if taus else None,
        "kendall_mean": float(np.nanmean(taus)) if taus else None,
    }


def asked(rows: list) -> dict[str, list]:
    """Choices by question."""
    by_degrees = groups(rows, degrees_key)
    found = {
        "degrees": [choice(g) for g in by_degrees if g.source in PRINTED],
        "degrees, by Little's law": [choice(g) for g in by_degrees if g.source not in PRINTED],
    }
    by_limits = groups(rows, limits_key)
    return found | {"degrees and clients": [c for g in by_limits for t in LIMITS_MS if (c := choice(g, t))]}


def over(c) -> float:
    """By how much the choice's measured time per token is over the limit."""
    return c.chosen.tpot_ms[0] / c.limit_ms - 1 if c.limit_ms else 0.0


def measure() -> dict:
    start = time.perf_counter()
    table, worst = {}, {}
    for how, rows in predictions().items():
        for question, choices in asked(rows).items():
            table[f"{question} | {how}"] = summary(choices)
            broken = [over(c) for c in choices if not c.kept]
            table[f"{question} | {how}"]["median_over_limit"] = float(np.median(broken)) if broken else 0.0
            if how != "as shipped, same rows":
                worst[f"{question} | {how}"] = [said(c) for c in sorted(choices, key=lambda c: c.share)[:WORST]]
    return {"seconds": time.perf_counter() - start, "table": table, "worst": worst}


def said(c) -> dict:
    dataset, _, gpu, model, weights, engine, version, isl, *_ = c.group.key
    return {
        "what": f"{dataset}: {model} {weights}, {gpu}, {engine} {version}, {isl or '?'} in"
        + (f", TPOT ≤ {c.limit_ms:g} ms" if c.limit_ms else ""),
        "chosen": c.chosen.config,
        "measured": c.chosen.tokens_s_gpu[0],
        "predicted": c.chosen.tokens_s_gpu[1],
        "best": c.best.config,
        "best_measured": c.best.tokens_s_gpu[0],
        "best_predicted": c.best.tokens_s_gpu[1],
        "tpot_ms": c.chosen.tpot_ms and c.chosen.tpot_ms[0],
        "share": c.share,
    }


def markdown(found: dict) -> str:
    head = [
        "question, predictions",
        "groups (models on accelerators)",
        "configurations",
        "median",
        "mean",
        "p10",
        "best chosen",
        "≥ 95%",
        "limit broken",
        "fewest GPUs: mean (p10)",
        "blind: mean",
        "τ median (mean), groups",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name, s in found["table"].items():
        tau = (
            f"{s['kendall_median']:.2f} ({s['kendall_mean']:.2f}), {s['kendall_groups']}"
            if s["kendall_groups"]
            else "—"
        )
        question, how = name.split(" | ")
        limited = "clients" in question
        broken = f"{s['limit_broken']:.0%} (by {s['median_over_limit']:.0%})" if limited else "—"
        thumb = "—" if limited else f"{s['thumb_mean_share']:.1%} ({s['thumb_p10_share']:.0%})"
        blind = "—" if limited else f"{s['blind_mean_share']:.1%}"
        cells = [
            f"{question}; {how}",
            f"{s['groups']:,} ({s['models_on_accelerators']})",
            f"{s['configurations']:,}",
            f"{s['median_share']:.1%}",
            f"{s['mean_share']:.1%}",
            f"{s['p10_share']:.1%}",
            f"{s['best_chosen']:.0%}",
            f"{s['within_5_percent']:.0%}",
            broken,
            thumb,
            blind,
            tau,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "The worst groups, left out (tokens/s per GPU, measured / predicted):",
        "",
        "| group | chosen | best | share |",
        "|---|---|---|---:|",
    ]
    for name, rows in found["worst"].items():
        if name.endswith("left out"):
            for w in rows[:3]:
                at = f", measured TPOT {w['tpot_ms']:.1f} ms" if "TPOT" in w["what"] else ""
                lines.append(
                    f"| {w['what']} | {w['chosen']}: {w['measured']:,.0f} / {w['predicted']:,.0f}{at} "
                    f"| {w['best']}: {w['best_measured']:,.0f} / {w['best_predicted']:,.0f} | {w['share']:.0%} |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the section of docs/plan-proof.md")
    args = parser.parse_args()
    found = measure()
    if args.page:
        section("plan-proof.md", "ranking", markdown(found))
    print(json.dumps(found) if args.json else json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
