"""A call of a model on its way from the door to its relay: limits first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tokenworks.serve.access.access import may_ask
from tokenworks.serve.access.keys import Key
from tokenworks.serve.body.splice import Body
from tokenworks.serve.call.course import Course
from tokenworks.serve.call.incoming import Incoming
from tokenworks.serve.call.pooled import PooledRelay
from tokenworks.serve.call.question import Question
from tokenworks.serve.call.relay import Relay
from tokenworks.serve.call.tally import Tally
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.limits.grant import Grant
from tokenworks.serve.metering import UNMETERED, Attempt, Meter
from tokenworks.serve.upstreams.served import Served


class Intake(msgspec.Struct, eq=False):
    """Of one call. ``limits``: the members of the body that limit its answer; ``session``: what calls of one conversation share."""

    key: Key
    attempt: Attempt
    body: Body
    limits: Sequence[str]
    metered: bool
    _served: Served
    _session: str
    _question: Question
    _connection: ServerConnection
    _meter: Meter
    _loop: asyncio.AbstractEventLoop

    def go(self, grant: Grant | None) -> None:
        question, served = self._question, self._served
        standby: tuple[Served, ...] = ()
        if grant is not None and grant.body is not question.said:
            question.turn(question.way, grant.body)
        # what is reserved is reserved for this service: another one may cost more
        if served.standby and not (grant and grant.reserves):
            standby = tuple(s for s in served.standby if may_ask(self.key, s.name))
        course = Course.of(served, question, self._session, standby)
        meter = self._meter if self.metered else UNMETERED
        tally = Tally(self.attempt, meter, served.metrics, question.request.arrived_s, grant)
        pooled = served.prefill is not None or (standby and any(s.prefill is not None for s in standby))
        kind = PooledRelay if pooled else Relay
        kind(course, question, tally, self._connection, self._loop, Incoming()).start(question.request.headers)

    def refuse(self, refused: Refused) -> None:
        self._served.metrics.answered(refused.status)
        status, body, more = self._question.dialect.refusal(refused)
        self._connection.respond(status, body, more=more)
