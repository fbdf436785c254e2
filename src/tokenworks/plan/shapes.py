"""Kinds of replicas: all combinations of system, engine, number formats and degrees that can exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from tokenworks import catalog
from tokenworks.errors import TokenworksError
from tokenworks.physics.compile import MOST_TOKENS
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.fleet import deployment
from tokenworks.physics.pools import in_pool
from tokenworks.plan.allowed import Allowed, Draft, degrees, runs_on, weights_for
from tokenworks.plan.ask import Ask
from tokenworks.plan.machines import Machines
from tokenworks.plan.wide.room import Room
from tokenworks.spec.factory import Service, System
from tokenworks.spec.service import Speculative


@dataclass(frozen=True)
class Shape:
    """One kind of engine replica, its batch left open."""

    system: str  # catalogue id of the server or rack
    role: str  # "serve", "prefill" or "decode"
    deployment: Deployment  # every setting resolved; max_seqs: the largest batch that the wide pass looks at


@dataclass(frozen=True)
class Survey:
    """The shapes that can exist, and how many others were left out, by reason."""

    shapes: tuple[Shape, ...]
    left_out: Mapping[str, int]


def shapes(model: str, ask: Ask, allowed: Allowed) -> list[Shape]:
    """All kinds of replicas that can serve the longest request of ``ask``."""
    return list(survey(model, ask, allowed).shapes)


def survey(model: str, ask: Ask, allowed: Allowed) -> Survey:
    """All kinds of replicas, with the reasons why others are none. Raises InputError for names that the catalogue lacks."""
    found, reasons, machines = list[Shape](), Counter[str](), Machines()
    for system in allowed.systems:
        for candidate, roles in _candidates(model, system, allowed, reasons):
            reason = misfit(candidate, ask, machines)
            if reason:
                reasons[reason] += len(roles)
            else:
                found += [Shape(system, role, in_pool(candidate, role)) for role in roles]
    return Survey(tuple(found), dict(reasons))


def _candidates(
    model: str, system: str, allowed: Allowed, reasons: Counter[str]
) -> Iterator[tuple[Deployment, tuple[str, ...]]]:
    """Deployments with their roles."""
    hardware, entry = catalog.load("systems", system), catalog.load("models", model)
    chip = catalog.load("accelerators", hardware["accelerator"])
    gpus = min(int(hardware["gpus"]), allowed.most_gpus or int(hardware["gpus"]))
    cuts = list(degrees(entry, gpus, allowed))
    for engine in allowed.engines:
        if not runs_on(engine, chip):
            reasons[f"{engine} does not run on {chip['vendor']}"] += 1
            continue
        for weights in weights_for(entry, chip, allowed):
            for kv in allowed.kv:
                for draft in allowed.drafts:
                    base = _base(model, system, engine, weights, kv, draft, allowed)
                    for budget, roles in _budgets(base, allowed):
                        for clock, (tp, pp, dp, ep) in product(allowed.clocks, cuts):
                            yield replace(base, tp=tp, pp=pp, dp=dp, ep=ep, token_budget=budget, clock=clock), roles


def _budgets(base: Deployment, allowed: Allowed) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Tokens of a step, with the roles that may have so many. Decode workers compute no prompts: other budgets than the
    stated ones change nothing of them."""
    for budget in allowed.token_budgets or (base.token_budget,):
        for times in allowed.budget_times:
            yield (
                round(budget * times),
                allowed.roles if times == 1 else tuple(r for r in allowed.roles if r != "decode"),
            )


def _base(
    model: str, system: str, engine: str, weights: str, kv: str, draft: Draft | None, allowed: Allowed
) -> Deployment:
    """A deployment on one GPU, with the engine's rules as a factory file would get them."""
    speculative = draft and Speculative(kind="mtp", draft_tokens=draft.tokens, tokens_per_step=draft.tokens_per_step)
    service = Service.model_validate(
        {"name": "plan", "model": model, "engine": engine, "precision": weights, "kv_precision": kv,
         "max_seqs": allowed.max_seqs, "speculative": speculative}
    )  # fmt: skip
    return deployment(service, System.model_validate({"id": "plan", "system": system}))


def misfit(candidate: Deployment, ask: Ask, machines: Machines) -> str:
    """Why a deployment cannot be, "" where it can."""
    if candidate.token_budget + candidate.max_seqs > MOST_TOKENS:
        return "more tokens in a step than a step table holds"
    stage, domain = candidate.tp * candidate.dp, candidate.gpus_per_node
    if stage > domain and stage % domain:
        return f"its groups cannot be spread evenly over domains of {domain} GPUs"
    try:
        machine = machines.of(candidate)
    except TokenworksError as error:
        return str(error)
    if Room.of(machine, candidate).tokens(1.0) < ask.longest:
        return "the longest request does not fit beside the weights"
    return ""
