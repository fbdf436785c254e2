"""Who may ask now: rates first, then budgets. A call whose slice has run dry waits shortly for the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tokenworks.serve.access.keys import Key
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.limits.bound import Bounded, Bounds
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.rules import Rule, Windows, worst
from tokenworks.serve.limits.throttle import Gate, Throttle, take
from tokenworks.serve.limits.waiting import Call, Waiting, granted

NO_RULES: tuple[Rule, ...] = ()
UNLIMITED = Bounded(0, 0, 1)  # nobody asks how much the call uses


class Standing(msgspec.Struct, frozen=True, eq=False):
    """What limits the calls of a key to a service, until the windows change. ``names``: of the accounts of all its budgets; None:
    some are of runs, so that each call has its own."""

    key: Key
    gates: tuple[Gate, ...]
    rules: tuple[Rule, ...]
    names: list[str] | None
    until_s: float


class Limits:
    """All rates and budgets of a gateway."""

    def __init__(
        self, throttle: Throttle, rules: Sequence[Rule], bounds: Mapping[str, Bounds], prices: PriceBook | None,
        desk: Desk | None, joules: Mapping[str, ServiceJoules] = {},
    ):  # fmt: skip
        self._throttle, self._rules, self.desk, self._joules = throttle, rules, desk, joules
        self.measure(bounds, prices)
        self._windows = Windows()
        self._standings: dict[tuple[str, str], Standing] = {}

    def measure(self, bounds: Mapping[str, Bounds], prices: PriceBook | None) -> None:
        """By what calls are measured from now on; what is granted already stays as it was."""
        self._bounds, self._prices = bounds, prices

    def admit(self, call: Call, connection: ServerConnection) -> None:
        """It goes on with its grant, at once unless it has to wait for a lease. Raises Refused, or tells it after a wait."""
        key, attempt, body = call.key, call.attempt, call.body
        now_s = attempt.began_us / 1e6
        standing = self._standings.get((key.id, attempt.service))
        if standing is None or standing.key is not key or now_s >= standing.until_s:
            standing = self._stand(key, attempt.service, now_s)  # a key that was read again may have other limits
        gates, rules, prices = standing.gates, standing.rules, self._prices
        if not call.metered:
            rules, prices = NO_RULES, None
        if not gates and not rules:
            call.go(Grant(body, None, None, None, prices) if prices else None)
            return
        bounds = self._bounds[attempt.service]
        if rules or (call.metered and any(gate.tokens for gate in gates)):
            if rules and bounds.template_tokens is None:
                raise bounds.boundless()
            limit = bounds.most(body, call.limits)
        else:
            limit = UNLIMITED
        ticket = take(gates, limit.tokens) if gates else None
        try:
            plea = self._plea(call, standing, limit, now_s) if rules else None
            if plea is None or self.desk is None:
                call.go(Grant(body, ticket, None, None, prices))
            elif not granted(self.desk, call, plea, ticket, prices, body):
                Waiting(self.desk, call, plea, ticket, prices).admit(connection)
        except BaseException:  # a refusal, or a defect of ours
            if ticket:
                ticket.end()
            raise

    def _stand(self, key: Key, service: str, now_s: float) -> Standing:
        if len(self._standings) > MOST_STANDINGS:
            self._standings.clear()
        rules = tuple(rule for rule in self._rules if rule.concerns(key, service))
        windows = self._windows.at(now_s)
        runs = any(rule.of_runs for rule in rules)
        names = None if runs else [rule.account(key.tenant, key.id, "", windows) for rule in rules]
        made = Standing(key, self._throttle.gates(key, service), rules, names, self._windows.until_s)
        self._standings[key.id, service] = made
        return made

    def _plea(self, call: Call, standing: Standing, limit: Bounded, now_s: float) -> Plea | None:
        """None where every budget is about runs, and the call is of none."""
        attempt, rules, names, desk = call.attempt, standing.rules, standing.names, self.desk
        if desk is None:
            return None
        if names is None:
            run, windows = str(attempt.run.get("root_run", "")), self._windows.at(now_s)
            named = [(rule, rule.account(attempt.tenant, call.key.id, run, windows)) for rule in rules]
            rules, names = tuple(rule for rule, name in named if name), [name for _, name in named if name]
            if not names:
                return None
        rates = self._prices.most(attempt.model, now_s) if self._prices else None
        joules = self._joules.get(attempt.service) if self._joules else None
        amounts, most = [], []
        for rule, name in zip(rules, names, strict=True):
            account = desk.leases.accounts.get(name) or desk.leases.account(name, rule.limit)
            amount = worst(rule, limit, rates, joules)
            amounts.append((account, amount))
            most.append(amount)
        return Plea(rules, names, amounts, most, limit, rates, joules)


MOST_STANDINGS = 100_000
