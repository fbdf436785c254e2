"""Who may ask now: rates first, then budgets. A call whose slice has run dry waits shortly for the next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key
from tokenworks.serve.limits.bound import Bounded, Bounds, bounded
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.rules import Rule, Windows, worst
from tokenworks.serve.limits.throttle import Gate, Throttle, take
from tokenworks.serve.limits.waiting import Call, Counter, Go, Refuse, Waiting


class Limits:
    """All rates and budgets of a gateway."""

    def __init__(
        self, throttle: Throttle, rules: Sequence[Rule], bounds: Mapping[str, Bounds], prices: PriceBook | None,
        desk: Desk | None, joules: Mapping[str, ServiceJoules] = {},
    ):  # fmt: skip
        self._throttle, self._rules, self.desk, self._joules = throttle, rules, desk, joules
        self.measure(bounds, prices)
        self._windows = Windows()
        self._matching: dict[tuple[str, str], tuple[Key, list[Rule]]] = {}

    def measure(self, bounds: Mapping[str, Bounds], prices: PriceBook | None) -> None:
        """By what calls are measured from now on; what is granted already stays as it was."""
        self._bounds, self._prices = bounds, prices

    def admit(self, call: Call, connection: ServerConnection, go: Go, refuse: Refuse) -> None:
        """Calls ``go`` with the grant, at once unless it has to wait for a lease; None: no limit, no price. Raises Refused, or
        tells ``refuse`` after a wait."""
        service = call.attempt.service
        gates, rules = (
            self._throttle.gates(call.key, service),
            self._rules_of(call.key, service) if call.metered else [],
        )
        prices = self._prices if call.metered else None
        if not gates and not rules:
            go(Grant(call.body, None, None, None, prices) if prices else None)
            return
        limit = self._bounded(call, gates, rules)
        ticket = take(gates, limit.tokens) if gates else None
        try:
            plea = self._plea(call, rules, limit) if rules else None
            if not plea or not self.desk:
                go(Grant(call.body, ticket, None, None, prices))
                return
            counter = Counter(self.desk, call, ticket, prices, go)
            if not counter.serve(plea, call.body):
                Waiting(counter, plea).admit(connection, refuse)
        except Refused:
            if ticket:
                ticket.end()
            raise

    def _rules_of(self, key: Key, service: str) -> list[Rule]:
        found = self._matching.get((key.id, service))
        if found is None or found[0] is not key:
            rules = [rule for rule in self._rules if rule.concerns(key, service)]
            found = self._matching[key.id, service] = key, rules
        return found[1]

    def _bounded(self, call: Call, gates: Sequence[Gate], rules: Sequence[Rule]) -> Bounded:
        bounds = self._bounds[call.attempt.service]
        if rules:
            bounds.require()
        elif not call.metered or not any(gate.tokens for gate in gates):
            return Bounded(0, 0, 1)
        return bounded(bounds, call.body, call.limits)

    def _plea(self, call: Call, rules: list[Rule], limit: Bounded) -> Plea | None:
        """None where every budget is about runs, and the call is of none."""
        attempt, now_s = call.attempt, time.time()
        windows = self._windows.at(now_s)
        run = str(attempt.run.get("root_run", ""))
        if self.desk is None:
            return None
        rates = self._prices.of(attempt.model, now_s) if self._prices else None
        joules, leases = self._joules.get(attempt.service), self.desk.leases
        held, accounts, costs = [], [], []
        for rule in rules:
            if name := rule.account(attempt.tenant, call.key.id, run, windows):
                held.append(rule)
                accounts.append(leases.account(name, rule.limit))
                costs.append(worst(rule, limit, rates, joules))
        return Plea(held, accounts, limit, rates, costs) if held else None
