"""A gateway that has seen what a twin's pool saw at a look, and a fleet that writes down what it is told."""

from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE
from tokenworks.serve.steer.fleet import Counts, FleetError
from tokenworks.serve.upstreams.breaker import BreakerRules
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.upstream import Upstream
from tokenworks.spec.factory import ROUTING


class Notebook:
    """Fails as often as it is asked to."""

    def __init__(self):
        self.now, self.told, self.failures = Counts(1, 0), [], 0

    async def counts(self, pool):
        return self.now

    async def scale(self, pool, replicas):
        if self.failures:
            self.failures -= 1
            raise FleetError("not now")
        self.told.append(replicas)


def router(count=4, name="chat"):
    upstreams = [Upstream(f"http://127.0.0.1:{i + 1}") for i in range(count)]
    return Router(name, upstreams, ROUTING.index("least-loaded"), 0, BreakerRules())


def served(count=4, name="chat", role=SERVE):
    """``role``: of the pool that is steered; for prefill and decode there are two."""
    made = Served(name, "m", router(count, name), 0, 0)
    made.prefill = None if role == SERVE else router(count, name)
    return made


def see(of, role, seen):
    """Sets the counters to what the twin's service had counted at the look; nothing else is told."""
    of.routers[0].arrived += seen.arrived
    of.routers[0].refused += seen.held
    pool = {SERVE: of.router, PREFILL: of.prefill, DECODE: of.router}[role]
    pool.outstanding = [seen.outstanding]
    of.metrics.answers[200] = of.metrics.answers.get(200, 0) + seen.finished
    of.metrics.tokens["input"] += seen.input_tokens
    of.metrics.tokens["output"] += seen.output_tokens
