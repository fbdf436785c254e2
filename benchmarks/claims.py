"""Claims of the industry with our figures beside: writes docs/claims.md (--page) or prints the figures (--json).

Every figure is the most that a kind of system gives within limits on mean TTFT and TPOT, in a closed loop in the twin
(`most`): layouts, pools and batches are searched anew for each limit. Watts are those at the meter of a
liquid-cooled site while the systems are full of such workers. Intervals: errors of predictions like these (80%), those of the
two sides of a ratio taken as independent.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context

import numpy as np
from closed_loop import Lengths, Limits, Stand
from most import Offer, Offers

from tokenworks.accuracy.certainty import CLOSED, evidence
from tokenworks.accuracy.experiments import DISAGGREGATED
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.ranking import per_gpu
from tokenworks.errors import InputError
from tokenworks.plan.allowed import Allowed
from tokenworks.plan.cost import fleet, prices
from tokenworks.plan.reading import loads
from tokenworks.plan.systems import Kind

ENGINES = ("sglang", "tensorrt-llm")
TPOT_MS = (100.0, 50.0, 33.3, 20.0, 12.5, 8.0)  # 10, 20, 30, 50, 80, 125 tokens/s for each user
TTFT_S = 3.0
USUAL = Lengths(1024, 1024)  # as the InferenceX runs that stand beside
SHAPES = [(prompt, answer) for prompt in (500, 2000, 8000) for answer in (100, 500, 2000)]
MOST_GPUS = 32  # of a worker
DEMAND = """demand: claims
site: {cooling: liquid}
services: [{name: a, model: llama-3.1-8b}]
workload: [{service: a, arrivals: {kind: poisson}, rate: 1/s}]
"""


def offers(
    model: str,
    system: str,
    weights: str,
    lengths: Lengths = USUAL,
    roles: tuple[str, ...] = ("serve", "prefill", "decode"),
) -> Offers:
    kv = ("bf16",) if weights == "bf16" else ("fp8",)
    return Offers(model, lengths, Allowed((system,), ENGINES, (weights,), kv, roles, pp=(1,), most_gpus=MOST_GPUS))


def figures(found: tuple[Offer, Stand] | None) -> dict | None:
    """What an answer gives, with watts at the meter and its 80% intervals (as logarithms)."""
    if found is None:
        return None
    offer, stand = found
    known = evidence(offer.deployments, [DISAGGREGATED if offer.mode == "disaggregated" else CLOSED])
    watts = facility_w(offer.system, stand.board_w / stand.gpus)
    return {
        "mode": offer.mode,
        "config": offer.text,
        "engine": offer.deployments[-1].engine,
        "clients": stand.clients,
        "gpus": stand.gpus,
        "tokens_s_gpu": stand.tokens_s_gpu,
        "ttft_s": stand.ttft_s,
        "tpot_s": stand.tpot_s,
        "board_w_gpu": stand.board_w / stand.gpus,
        "facility_w_gpu": watts,
        "tokens_s_mw": stand.tokens_s_gpu / watts * 1e6,
        "joules_token": stand.board_w / stand.gpus / stand.tokens_s_gpu,
        "log_throughput": [math.log(x) for x in known.factors("throughput")],
        "kind": known.kind,
    }


def facility_w(system: str, board_w_gpu: float) -> float:
    """Watts at the meter for each GPU of a system that is full of such workers."""
    of = prices(loads(DEMAND, "claims"), Kind(system, "own", 0, None))
    gpus = of.kind.gpus
    return float(fleet(of, np.ones(1), np.array([board_w_gpu * gpus]), np.ones(1)).facility_w[0]) / gpus


def levels(model: str, system: str, weights: str) -> dict:
    """The most at every level of interactivity."""
    try:
        ways = offers(model, system, weights)
    except InputError as error:
        return {
            "model": model,
            "system": system,
            "weights": weights,
            "failed": str(error),
            "levels": [None] * len(TPOT_MS),
        }
    found = [figures(ways.most(Limits(TTFT_S, tpot / 1e3))) for tpot in TPOT_MS]
    return {"model": model, "system": system, "weights": weights, "levels": found}


def shape(model: str, system: str, weights: str, tpot_ms: float, prompt: int, answer: int) -> dict:
    """Together and apart for one shape of traffic."""
    ways = offers(model, system, weights, Lengths(prompt, answer))
    limits = Limits(TTFT_S, tpot_ms / 1e3)
    return {
        "model": model,
        "system": system,
        "input": prompt,
        "output": answer,
        "tpot_ms": tpot_ms,
        "together": figures(ways.most(limits, apart=0)),
        "apart": figures(ways.most(limits, alone=0, apart=3)),
    }


def ratio(new: dict | None, old: dict | None, unit: str) -> tuple[float, float, float] | None:
    """(ratio, low, high) with the errors of both sides, independent."""
    if not new or not old:
        return None
    value = new[unit] / old[unit]
    (low_n, high_n), (low_o, high_o) = new["log_throughput"], old["log_throughput"]
    return value, value * math.exp(-math.hypot(low_n, high_o)), value * math.exp(math.hypot(high_n, low_o))


LEVELS = (
    ("deepseek-r1", "superpod-h100-su", "fp8_block"),
    ("deepseek-r1", "hgx-h200", "fp8_block"),
    ("deepseek-r1", "hgx-b200", "fp8_block"),
    ("deepseek-r1", "hgx-b200", "nvfp4"),
    ("deepseek-r1", "gb200-nvl72", "nvfp4"),
    ("deepseek-r1", "gb200-nvl72", "fp8_block"),
    ("llama-3.3-70b", "hgx-h100", "fp8"),
    ("llama-3.3-70b", "hgx-b200", "fp8"),
    ("llama-3.3-70b", "hgx-b200", "nvfp4"),
    ("llama-3.1-405b", "hgx-h100", "fp8"),
    ("llama-3.1-405b", "hgx-b200", "fp8"),
    ("llama-3.1-405b", "hgx-b200", "nvfp4"),
)
GRIDS = (("llama-3.3-70b", "hgx-h200", "fp8", 30.0), ("deepseek-r1", "gb200-nvl72", "nvfp4", 30.0))


def done(job: Callable[[], dict]) -> dict:
    return job()


def measure() -> dict:
    start = time.perf_counter()
    jobs = [partial(levels, *case) for case in LEVELS] + [
        partial(shape, *case, *cut) for case in GRIDS for cut in SHAPES
    ]
    with get_context("spawn").Pool(2) as pool:
        found = list(pool.imap(done, jobs, chunksize=1))
    return {"seconds": time.perf_counter() - start, "levels": found[: len(LEVELS)], "shapes": found[len(LEVELS) :]}


def said(value: tuple[float, float, float] | None) -> str:
    return f"{value[0]:.1f} ({value[1]:.1f} to {value[2]:.1f})" if value else "—"


MEASURED = (
    ("h100-sxm", "fp8"),
    ("h200-sxm", "fp8"),
    ("b200", "fp8"),
    ("b200", "nvfp4"),
    ("gb200", "fp8"),
    ("gb200", "nvfp4"),
)
OURS = {"h100-sxm": "superpod-h100-su", "h200-sxm": "hgx-h200", "b200": "hgx-b200", "gb200": "gb200-nvl72"}


def published() -> list[list[float | None]]:
    """The most output tokens/s per GPU that was published of DeepSeek-R1 at these lengths within each limit on TPOT, without
    speculation: whatever engine, date and layout."""
    found = {}
    for m in load_measurements():
        row, t = m.row, m.targets
        gap = t.tpot_ms_mean or t.tpot_ms_median
        like = row.model == "deepseek-r1" and (row.isl, row.osl) == (USUAL.input_tokens, USUAL.output_tokens)
        if like and row.spec_decoding in ("none", "assumed_none") and t.output_tokens_s_gpu and gap:
            found.setdefault((row.gpu, row.quantization), []).append((gap, t.output_tokens_s_gpu * per_gpu(row)))
    best = lambda rows, tpot: max((rate for gap, rate in rows if gap <= tpot), default=None)  # noqa: E731
    return [[best(found.get(case, []), tpot) for case in MEASURED] for tpot in TPOT_MS]


def beside(found: dict) -> list[str]:
    """What was published and what we predict, tokens/s per GPU."""
    of = {(f["system"], f["weights"]): f["levels"] for f in found["levels"] if f["model"] == "deepseek-r1"}
    weights = {"fp8": "fp8_block"}
    rows = []
    for i, (tpot, measured) in enumerate(zip(TPOT_MS, published(), strict=True)):
        ours = [of[OURS[gpu], weights.get(w, w)][i] for gpu, w in MEASURED]
        cells = [f"{m:,.0f}" if m else "—" for m in measured]
        own = [f"{o['tokens_s_gpu']:,.0f}" if o else "never" for o in ours]
        rows.append([f"{1e3 / tpot:.0f} ({tpot:g} ms)", *(f"{a} / {b}" for a, b in zip(cells, own, strict=True))])
    head = ["tokens/s for a user (TPOT)", *(f"{gpu}, {w}" for gpu, w in MEASURED)]
    return [
        "**DeepSeek-R1, 1,024 in and out, tokens/s per GPU: the best that was published / the best that we predict**",
        "",
        *table(head, rows),
    ]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(r) + " |" for r in rows),
        "",
    ]


def by_level(found: dict, new: tuple, old: tuple, unit: str) -> list[list[str]]:
    """A row for every level of interactivity."""
    of = {(f["model"], f["system"], f["weights"]): f["levels"] for f in found["levels"]}
    rows = []
    for tpot, a, b in zip(TPOT_MS, of[new], of[old], strict=True):
        cell = lambda f: f"{f[unit]:,.4g} ({f['mode'][:3]}. {f['config']})" if f else "never"  # noqa: E731
        rows.append([f"{1e3 / tpot:.0f} ({tpot:g} ms)", cell(b), cell(a), said(ratio(a, b, unit))])
    return rows


def name(case: tuple) -> str:
    return f"{case[1]}, {case[2]}"


def compared(found: dict, title: str, new: tuple, old: tuple, unit: str, what: str) -> list[str]:
    head = ["tokens/s for a user (TPOT)", name(old), name(new), f"{what}, new / old"]
    return [f"**{title}**", "", *table(head, by_level(found, new, old, unit))]


def grid(found: dict, case: tuple) -> list[str]:
    model, system, weights, tpot = case
    mine = {(s["input"], s["output"]): s for s in found["shapes"] if (s["model"], s["system"]) == (model, system)}
    rows = []
    for prompt in dict.fromkeys(p for p, _ in SHAPES):
        cells = [
            said(ratio(mine[prompt, a]["apart"], mine[prompt, a]["together"], "tokens_s_gpu"))
            for a in dict.fromkeys(a for _, a in SHAPES)
        ]
        rows.append([f"{prompt:,} in", *cells])
    return [
        f"**{model}, {weights}, {system}, TPOT ≤ {tpot:g} ms, TTFT ≤ {TTFT_S:g} s: tokens/s per GPU, apart / together**",
        "",
        *table(["", *(f"{a:,} out" for a in dict.fromkeys(a for _, a in SHAPES))], rows),
    ]


def sections(found: dict) -> dict[str, list[str]]:
    r1, l70, l405 = "deepseek-r1", "llama-3.3-70b", "llama-3.1-405b"
    b200_4, b200_8 = "hgx-b200", "hgx-b200"
    return {
        "hopper-blackwell": [
            *beside(found),
            *compared(
                found,
                "DeepSeek-R1, tokens/s per MW at the meter",
                (r1, "gb200-nvl72", "nvfp4"),
                (r1, "superpod-h100-su", "fp8_block"),
                "tokens_s_mw",
                "tokens/s/MW",
            ),
            *compared(
                found,
                "DeepSeek-R1 against H200, tokens/s per MW at the meter",
                (r1, "gb200-nvl72", "nvfp4"),
                (r1, "hgx-h200", "fp8_block"),
                "tokens_s_mw",
                "tokens/s/MW",
            ),
            *compared(
                found,
                "Llama 3.3 70B, tokens/s per MW at the meter",
                (l70, "hgx-b200", "nvfp4"),
                (l70, "hgx-h100", "fp8"),
                "tokens_s_mw",
                "tokens/s/MW",
            ),
            *compared(
                found,
                "Llama 3.1 405B, tokens/s per MW at the meter",
                (l405, "hgx-b200", "nvfp4"),
                (l405, "hgx-h100", "fp8"),
                "tokens_s_mw",
                "tokens/s/MW",
            ),
        ],
        "nvl72": compared(
            found,
            "DeepSeek-R1 in NVFP4, tokens/s per GPU",
            (r1, "gb200-nvl72", "nvfp4"),
            (r1, "hgx-b200", "nvfp4"),
            "tokens_s_gpu",
            "tokens/s/GPU",
        ),
        "disaggregation": [line for case in GRIDS for line in grid(found, case)],
        "fp4": [
            *compared(
                found, "DeepSeek-R1", (r1, b200_4, "nvfp4"), (r1, b200_8, "fp8_block"), "tokens_s_gpu", "tokens/s/GPU"
            ),
            *compared(
                found, "Llama 3.3 70B", (l70, b200_4, "nvfp4"), (l70, b200_8, "fp8"), "tokens_s_gpu", "tokens/s/GPU"
            ),
            *compared(
                found, "Llama 3.1 405B", (l405, b200_4, "nvfp4"), (l405, b200_8, "fp8"), "tokens_s_gpu", "tokens/s/GPU"
            ),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/claims.md")
    args = parser.parse_args()
    found = measure()
    if args.page:
        from pages import section

        for key, lines in sections(found).items():
            section("claims.md", key, "\n".join(lines))
    print(json.dumps(found) if args.json else "\n".join(line for lines in sections(found).values() for line in lines))


if __name__ == "__main__":
    main()
