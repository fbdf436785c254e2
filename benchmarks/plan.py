"""The planner: configurations a second on one core in the wide pass, beside a probe of how busy the machine is."""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from plan_whole import whole_plan

from tokenworks.plan.allowed import Allowed
from tokenworks.plan.ask import Ask
from tokenworks.plan.pools import pools
from tokenworks.plan.shapes import survey
from tokenworks.plan.wide import wide

SYSTEMS = ("hgx-h100", "hgx-h200", "hgx-b200", "mi355x-8")  # no two with the same accelerator
MODELS = ("deepseek-r1", "llama-3.3-70b")
ROUNDS = 7


def ask(count: int = 256) -> Ask:
    """Log-normal lengths: prompts of some 1,200 tokens, answers of some 250."""
    r = np.random.default_rng(1)
    prompts, answers = (np.rint(r.lognormal(mean, 0.6, count)).clip(2) for mean in (7.0, 5.3))
    return Ask(prompts, answers, 2.0, 0.05, None)


def probe() -> float:
    """Seconds of a fixed piece of work: what other processes take shows as its spread."""
    values, begin = np.arange(2e4), time.process_time()
    for _ in range(200):
        values = np.sqrt(values * 1.0001 + 1.0)
    return time.process_time() - begin


def measured(model: str) -> dict[str, float]:
    """Best of some rounds, each beside a probe; everything from names to rows of the wide pass."""
    allowed, sample = Allowed(SYSTEMS), ask()
    wide(survey(model, sample, allowed).shapes, sample)  # compiles, reads the catalogue
    survey_s, wide_s, probes = [], [], []
    for _ in range(ROUNDS):
        probes.append(probe())
        begin = time.process_time()
        found = survey(model, sample, allowed)
        between = time.process_time()
        rows = wide(found.shapes, sample)
        wide_s.append(time.process_time() - between)
        survey_s.append(between - begin)
    paired = pools(found.shapes, rows, sample.ttft_s)
    both = np.array(survey_s) + np.array(wide_s)
    return {
        "shapes": len(found.shapes),
        "configs": len(rows),
        "configs_s_core": len(rows) / float(both.min()),
        "configs_s_core_median": len(rows) / float(np.median(both)),
        "survey_s": min(survey_s),
        "wide_s": min(wide_s),
        "pools_tried": paired.tried,
        "probe_spread": max(probes) / min(probes) - 1.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    by_model = {model: measured(model) for model in MODELS}
    found = {
        "configs_s_core": min(of["configs_s_core_median"] for of in by_model.values()),
        **whole_plan(),
        "by_model": by_model,
    }
    if arguments.json:
        print(json.dumps(found))
        return
    for model, of in by_model.items():
        print(
            f"{model}: {of['configs']:,} configurations of {of['shapes']:,} shapes, {of['configs_s_core_median']:,.0f}/s "
            f"on one core (best {of['configs_s_core']:,.0f}); {of['pools_tried']:,} pairs of pools with their ratios; "
            f"a fixed piece of work varied by {of['probe_spread']:.0%} meanwhile"
        )
    times = {k: v for k, v in found.items() if k.startswith("plan_") and k.endswith("_s") and k != "plan_s"}
    parts = ", ".join(f"{k[5:-2].replace('_', ' ')} {v:.1f} s" for k, v in times.items())
    print(f"one plan: {found['plan_s']:.1f} s ({parts}; {found['plan_configurations']:,} configurations)")


if __name__ == "__main__":
    main()
