"""The most output tokens per second and GPU that a kind of system gives of a model within limits on mean latencies: what
the wide pass thinks best, rehearsed in a closed loop with as many callers as the limits allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from closed_loop import SPREAD, ClosedLoop, Lengths, Limits, Stand
from numpy.typing import NDArray
from pools import best_of_shapes, pools

from tokenworks.errors import InputError
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.allowed import Allowed
from tokenworks.plan.ask import Array, Ask
from tokenworks.plan.shapes import shapes
from tokenworks.plan.wide import Wide, wide

SAMPLE = 200  # requests that the wide pass is asked with
SEQUENCES = 2048  # of a rank: more than limits ever leave
ALONE, APART = 3, 2  # rehearsed of the wide pass: aggregated, disaggregated


@dataclass(frozen=True)
class Offer:
    """One way to serve, by the wide pass."""

    mode: str  # aggregated, disaggregated
    system: str
    service: Mapping[str, Any]  # fields of a factory file's service
    deployments: tuple[Deployment, ...]  # decode last
    clients: int
    tokens_s_gpu: float  # at so many clients

    @property
    def text(self) -> str:
        """Its degrees in a line: ``2× tp2 + 1× dp8 ep8``, prefill first."""
        return said(self.service)


def said(service: Mapping[str, Any]) -> str:
    """Degrees of a service's workers in a line.

    >>> said({"tp": 2, "workers": 1}), said({"prefill": {"tp": 1, "workers": 2}, "decode": {"tp": 1, "dp_attention": 4}})
    ('tp2', '2× tp1 + 1× dp4')
    """
    names = {"tp": "tp", "pp": "pp", "dp_attention": "dp", "ep": "ep"}
    parts = [service[p] for p in ("prefill", "decode") if p in service] or [service]
    text = [
        f"{p.get('workers', 1)}× " + (" ".join(f"{names[k]}{p[k]}" for k in names if p.get(k, 1) > 1) or "tp1")
        for p in parts
    ]
    return " + ".join(text) if len(text) > 1 else text[0].removeprefix("1× ")


class Offers:
    """All ways to serve a model on one kind of system, priced once for any limits. Raises InputError where there is none."""

    def __init__(self, model: str, lengths: Lengths, allowed: Allowed) -> None:
        if len(allowed.systems) != 1:
            raise InputError(f"one kind of system at a time; got {', '.join(allowed.systems) or 'none'}")
        self.model, self.lengths, self.system = model, lengths, allowed.systems[0]
        at = np.random.default_rng(1).uniform(1 - SPREAD, 1 + SPREAD, (2, SAMPLE))
        prompts, answers = at[0] * lengths.input_tokens, at[1] * lengths.output_tokens
        whole = lambda values: np.maximum(1.0, np.rint(values))  # noqa: E731
        self.ask = Ask(whole(prompts), whole(answers), None, None, None)
        self.shapes = shapes(model, self.ask, allowed)
        self.wide = wide(self.shapes, self.ask)

    def best(self, limits: Limits, alone: int = ALONE, apart: int = APART) -> list[Offer]:
        """What the wide pass thinks best within the limits: of so many shapes alone, of so many pairs of pools."""
        ask = replace(self.ask, ttft_s=_known(limits.ttft_s), tpot_s=_known(limits.tpot_s))
        return [*self._alone(ask, alone), *self._apart(ask, apart)]

    def most(self, limits: Limits, alone: int = ALONE, apart: int = APART) -> tuple[Offer, Stand] | None:
        """The offer that gives most in the twin within the limits; None where none keeps them."""
        found = [
            (offer, self.loop(offer, limits).most(limits, offer.clients)) for offer in self.best(limits, alone, apart)
        ]
        kept = [(offer, stand) for offer, stand in found if stand is not None]
        return max(kept, key=lambda pair: pair[1].tokens_s_gpu, default=None)

    def loop(self, offer: Offer, limits: Limits) -> ClosedLoop:
        """The offer's closed loop, long enough for requests at the limits."""
        life_s = min(limits.ttft_s, 10.0) + min(limits.tpot_s, 0.2) * self.lengths.output_tokens
        return ClosedLoop(self.system, offer.service, self.lengths, life_s)

    def _alone(self, ask: Ask, most: int) -> list[Offer]:
        found, serve = self.wide, np.array([s.role == "serve" for s in self.shapes])[self.wide.shape]
        rate = np.where(serve & keeps(found, ask), found.requests_s / found.gpus, 0.0)
        offers = []
        for i in _best_of_each(rate, found.shape, most):
            d = self.shapes[found.shape[i]].deployment
            service = {**_formats(d), **_cut(d, 1), "max_seqs": SEQUENCES}
            offers.append(self._offer("aggregated", service, (d,), int(found.batch[i]) * d.dp, float(rate[i])))
        return offers

    def _apart(self, ask: Ask, most: int) -> list[Offer]:
        found = self.wide
        if most == 0 or not any(s.role == "decode" for s in self.shapes):
            return []
        of = best_of_shapes(pools(self.shapes, found, ask.ttft_s), found, ask.tpot_s)
        offers = []
        for i in np.argsort(-of.requests_s / of.gpus, kind="stable")[:most]:
            first, second = (self.shapes[found.shape[rows[i]]].deployment for rows in (of.prefill, of.decode))
            decode = {**_cut(second, int(of.decode_workers[i])), "max_seqs": SEQUENCES}
            service = {**_formats(second), "prefill": _cut(first, int(of.prefill_workers[i])), "decode": decode}
            life_s = float(of.ttft_s[i] + of.tpot_s[i] * (self.lengths.output_tokens - 1))
            clients, rate = max(1, round(float(of.requests_s[i]) * life_s)), float(of.requests_s[i] / of.gpus[i])
            offers.append(self._offer("disaggregated", service, (first, second), clients, rate))
        return offers

    def _offer(
        self, mode: str, service: dict[str, Any], of: tuple[Deployment, ...], clients: int, rate_s_gpu: float
    ) -> Offer:
        return Offer(mode, self.system, service, of, clients, rate_s_gpu * float(self.ask.output_tokens.mean()))


def keeps(found: Wide, ask: Ask) -> NDArray[np.bool_]:
    """Rows whose mean latencies keep the objectives."""
    limits = [np.inf if limit is None else limit for limit in (ask.ttft_s, ask.tpot_s)]
    return np.asarray((found.ttft_s <= limits[0]) & (found.tpot_s <= limits[1]))


def _known(limit: float) -> float | None:
    return limit if np.isfinite(limit) else None


def _formats(d: Deployment) -> dict[str, Any]:
    return {"model": d.model, "precision": d.weights, "kv_precision": d.kv, "engine": d.engine}


def _cut(d: Deployment, workers: int) -> dict[str, Any]:
    degrees = {"tp": d.tp, "pp": d.pp, "dp_attention": d.dp, "ep": d.ep}
    return {**degrees, "token_budget": d.token_budget, "workers": workers}


def _best_of_each(rate: Array, shape: Any, most: int) -> list[int]:
    """The best row of each of the best shapes."""
    found: dict[int, int] = {}
    for i in np.argsort(-rate, kind="stable"):
        if rate[i] <= 0 or len(found) == most:
            break
        found.setdefault(int(shape[i]), int(i))
    return list(found.values())
