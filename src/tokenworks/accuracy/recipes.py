"""What the benchmark scripts of InferenceX set: recipes by model, precision, accelerator, engine, load and date.

All recipes whose keys match apply in the order of the file, so that a later one states only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokenworks import catalog
from tokenworks.accuracy.rows import Row
from tokenworks.physics.deployment import Deployment

Table = Mapping[str, Any]
PLAIN = (
    "token_budget", "memory_fraction", "kv_fraction_of_free", "kv", "receive_interval", "chunked_prefill",
)  # fmt: skip

BUSY = 0.75  # share of the steps between two looks that admissions may fill


def settings(row: Row, base: Deployment) -> dict[str, Any]:
    """Fields of the deployment that the script of this row sets. ``base`` brings degrees, precision and speculation."""
    recipe = merged(row, base)
    if not recipe:
        return {}
    found = {key: recipe[key] for key in PLAIN if key in recipe} | _speculation(recipe, row, base)
    drafts = found.get("draft_tokens", 0)
    per_rank = -(-(row.concurrency or 1) // base.dp)
    if "max_seqs" in recipe:
        found["max_seqs"] = per_rank if recipe["max_seqs"] == "C" else int(recipe["max_seqs"])
    if recipe.get("budget_of_batch") and row.isl:
        # One prompt beside a decode step of everybody, rounded up to 64 tokens.
        needed = int(per_rank * (1 + drafts) + row.isl + 127) // 64 * 64
        found["token_budget"] = max(found["token_budget"], needed)
    budget = found.get("token_budget", base.token_budget)
    wait = _look_every(recipe, row, base, found.get("tokens_per_step", base.tokens_per_step), budget)
    return found | ({"receive_interval": wait} if wait > 1 else {})


def speculation(row: Row, base: Deployment) -> dict[str, Any]:
    """Draft tokens of the script and what is accepted of them, where the row speculates."""
    return _speculation(merged(row, base), row, base)


def _speculation(recipe: Table, row: Row, base: Deployment) -> dict[str, Any]:
    if base.draft_tokens == 0:
        return {}
    drafts = int(recipe.get("draft_tokens", base.draft_tokens))
    shares = recipe.get("accepted_shares") or _shares(row)
    return {"draft_tokens": drafts, "tokens_per_step": accepted(shares, drafts)}


def merged(row: Row, base: Deployment) -> dict[str, Any]:
    """The matching recipes, later ones over earlier ones."""
    found: dict[str, Any] = {}
    known = _known(row, base)
    for recipe in catalog.load("harnesses", "inferencex").extra["recipes"]:
        if all(_holds(key, recipe[key], known) for key in recipe if key in known or key[:4] in ("min_", "max_")):
            found |= recipe
    return {key: value for key, value in found.items() if key not in known}


def _known(row: Row, base: Deployment) -> dict[str, Any]:
    return {
        "model": row.model.replace("deepseek-v3", "deepseek-r1"),
        "precision": base.weights,
        "accelerator": row.gpu,
        "engine": row.engine,
        "tp": base.tp,
        "lengths": f"{row.isl or 0:.0f}/{row.osl or 0:.0f}",
        "attention_dp": base.dp > 1,
        "speculative": base.draft_tokens > 0,
        "clients": row.concurrency or 1,
        "from_date": row.date,
        "until_date": row.date,
    }


def _holds(key: str, wanted: Any, known: Table) -> bool:
    if key == "from_date":
        return bool(known[key] >= wanted)
    if key == "until_date":
        return bool(known[key][: len(wanted)] <= wanted)
    if key in known:
        return known[key] in wanted if isinstance(wanted, list) else bool(known[key] == wanted)
    bound, name = key.split("_", 1)
    if name not in known:  # a setting such as max_seqs, not a bound
        return True
    return bool(known[name] >= wanted if bound == "min" else known[name] <= wanted)


def accepted(shares: Sequence[float], drafts: int) -> float:
    """Mean tokens of a step with ``drafts`` proposed ones: each is only looked at if all before it were accepted.

    >>> accepted([0.5], 2)
    1.75
    """
    return 1.0 + float(np.cumprod([shares[min(i, len(shares) - 1)] for i in range(drafts)]).sum())


def _shares(row: Row) -> Sequence[float]:
    """Accepted shares of looked-at draft tokens by position, the last one for all later ones."""
    entry = catalog.load("speculation", row.spec_decoding)
    for known in entry.extra.get("acceptance", ()):
        if row.model in known["models"] and (row.osl or 0) >= known["min_output_tokens"]:
            return list(known["by_position"])
    return [float(entry["tokens_per_step"]) ** (1.0 / entry["draft_tokens"]) - 1.0]


def _look_every(recipe: Table, row: Row, base: Deployment, tokens_per_step: float, budget: int) -> int:
    """Steps between two looks at the queue that delay a prompt as long as the script's waiting rules do on average."""
    # Prompts a step that come to one rank: its clients, each once per answer (0.9 of the nominal length).
    rate = (row.concurrency or 1) / base.dp * tokens_per_step / max(1.0, 0.9 * (row.osl or 1))
    if "wait_steps" in recipe:
        # The first prompt waits all steps, those that join it half of them; a look every 2w steps delays by w.
        most = float(recipe["wait_steps"])
        every = 2 * most * (1 + rate * most / 2) / (1 + rate * most)
    elif "balance_steps" in recipe and base.dp > 1:
        # Until every rank has a prompt, at most ``balance_steps``: the mean age of that renewal, seen as an interval.
        steps = np.arange(int(recipe["balance_steps"]))
        still = 1.0 - (1.0 - np.exp(-rate * steps)) ** base.dp
        every = float(((2 * steps + 1) * still).sum() / still.sum())
    else:
        return 1
    # Nobody waits for company where more prompts came than one step takes.
    taken = max(1, budget // int(row.isl or 1))
    return max(1, round(min(every, BUSY * taken / rate)))
