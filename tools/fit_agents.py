"""Fit the coding agent to the shipped recording: `fit_agents.py [OUT_TOML]` (none: print how good the fit is).

Reproduces catalog/data/agents/coding-agent.toml: tables of quantiles, what they were fitted on, and how far sessions
generated from them are from the recorded ones, also from ones that a fit of the others has not seen.
"""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tokenworks.workload.agents.fit import fit
from tokenworks.workload.agents.fitted import grow_fitted
from tokenworks.workload.agents.goodness import Sample, distances, of_calls, of_recording
from tokenworks.workload.agents.hold_out import hold_out
from tokenworks.workload.agents.recording import SUMS, Recording, load_recording
from tokenworks.workload.agents.tables import Fitted

SEED, RUNS = 1, 2840  # four times the recorded sessions
SPLITS = 10
HEAD = """id = "coding-agent"
name = "Coding agent, fitted to recorded sessions"
source = "tokenworks-agent-fit"
date = "2026-11"
status = "measured"

# Made by tools/fit_agents.py. Fitted on 710 recorded sessions (49,334 requests) of one coding agent with models of one vendor;
# other agents differ. Error: see [goodness]. Which output users saw is not recorded: the last answer stands for it.
"""


def facts(last_output: int) -> str:
    counted = {
        "recorded_sessions": (SUMS.sessions, "sessions"),
        "recorded_requests": (SUMS.requests, "requests"),
        "recorded_input": (SUMS.input, "tokens"),
        "recorded_cache_read": (SUMS.cache_read, "tokens"),
        "recorded_output": (SUMS.output, "tokens"),
        "recorded_last_output": (last_output, "tokens"),
    }
    lines = [f'{key} = {{value = {value}, unit = "{unit}"}}' for key, (value, unit) in counted.items()]
    return "\n".join(["[facts]", *lines, ""])


def tables(found: dict[str, Any]) -> str:
    plain = {key: value for key, value in found.items() if not isinstance(value, dict)}
    lines = ["[fitted]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    for name, table in found.items():
        if isinstance(table, dict):
            lines += ["", f"[fitted.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join([*lines, ""])


def goodness(recorded: Sample, made: Sample) -> str:
    apart = distances(recorded, made)
    real, drawn = recorded.ratios(), made.ratios()
    lines = ["[goodness]", f"seed = {SEED}", f"sessions = {RUNS}"]
    totals = ("input_tokens", SUMS.input), ("output_tokens", SUMS.output)
    sums = [getattr(made, key).sum() / RUNS * SUMS.sessions / value for key, value in totals]
    lines += [f"input_generated_over_recorded = {sums[0]:.4f}", f"output_generated_over_recorded = {sums[1]:.4f}"]
    lines += ["", "[goodness.kolmogorov_smirnov]", *(f'"{key}" = {value:.3f}' for key, value in apart.items())]
    lines += [
        "",
        "[goodness.input_per_output]",
        f"of_sums = [{real.of_sums:.2f}, {drawn.of_sums:.2f}]  # recorded, generated",
    ]
    lines += [f"p{p} = [{real.percentiles[p]:.1f}, {drawn.percentiles[p]:.1f}]" for p in real.percentiles]
    return "\n".join([*lines, ""])


def held_out(r: Recording) -> str:
    """Fits of random halves against the other halves: figures over all splits, and the first one to be made again."""
    found = [hold_out(r, seed) for seed in range(1, SPLITS + 1)]
    lines = [
        "# Fitted on a random half of the sessions, compared with the other half; seeds 1 to the number of splits.",
        "[hold_out]",
    ]
    lines += [
        f"splits = {SPLITS}",
        f"sessions = {len(r.trace) - len(r.trace) // 2}",
        f"generated = {found[0].foretold.sessions}",
    ]
    lines += ["", "# median and largest over the splits, then the median between the two recorded halves, then split 1"]
    lines += ["[hold_out.kolmogorov_smirnov]"]
    for key in found[0].generated:
        apart, chance = ([getattr(one, side)[key] for one in found] for side in ("generated", "halves"))
        figures = (median(apart), max(apart), median(chance), apart[0])
        lines.append(f'"{key}" = [{", ".join(f"{value:.3f}" for value in figures)}]')
    lines += ["", "# medians over the splits: recorded and held out, foretold", "[hold_out.input_per_output]"]
    sums = [median(getattr(one, side).of_sums for one in found) for side in ("recorded", "foretold")]
    lines.append(f"of_sums = [{sums[0]:.2f}, {sums[1]:.2f}]")
    for p in found[0].recorded.percentiles:
        sides = [median(getattr(one, side).percentiles[p] for one in found) for side in ("recorded", "foretold")]
        lines.append(f"p{p} = [{sides[0]:.1f}, {sides[1]:.1f}]")
    return "\n".join([*lines, ""])


def main() -> None:
    r = load_recording()
    found = fit(r)
    made = of_calls(grow_fitted(Fitted(found), SEED, range(RUNS)))
    told = goodness(of_recording(r), made)
    told += "\n" + held_out(r)
    print(told)
    if len(sys.argv) > 1:
        last_output = int(r.output_tokens[r.last_of_session()].sum())
        Path(sys.argv[1]).write_text("\n".join([HEAD + facts(last_output), tables(found), told]))


if __name__ == "__main__":
    main()
