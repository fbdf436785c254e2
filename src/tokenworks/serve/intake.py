"""A call of a model on its way from the door to its relay: limits first."""

from __future__ import annotations

import asyncio

from tokenworks.serve.access import may_ask
from tokenworks.serve.course import Course
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key
from tokenworks.serve.limits.admission import Limits
from tokenworks.serve.limits.grant import Grant
from tokenworks.serve.limits.waiting import Call
from tokenworks.serve.metering import UNMETERED, Attempt, Meter
from tokenworks.serve.pooled import PooledRelay
from tokenworks.serve.question import Question
from tokenworks.serve.relay import Relay
from tokenworks.serve.served import Served
from tokenworks.serve.tally import Tally


class Intake:
    """Of one call. ``session``: what calls of one conversation share."""

    __slots__ = ("_attempt", "_connection", "_key", "_loop", "_meter", "_question", "_served", "_session")

    def __init__(
        self, key: Key, served: Served, session: str, question: Question, attempt: Attempt, connection: ServerConnection,
        meter: Meter, loop: asyncio.AbstractEventLoop,
    ):  # fmt: skip
        self._key, self._served, self._session, self._question = key, served, session, question
        self._attempt, self._connection, self._meter, self._loop = attempt, connection, meter, loop

    def admit(self, limits: Limits | None) -> None:
        """Raises Refused, or tells the caller after a wait."""
        question = self._question
        try:
            if limits is None:
                self._go(None)
            else:
                call = Call(self._key, question.said, self._attempt, question.way.limits, question.dialect.metered)
                limits.admit(call, self._connection, self._go, self._refuse)
        except Refused as refused:
            self._served.metrics.answered(refused.status)
            raise

    def _go(self, grant: Grant | None) -> None:
        question, served = self._question, self._served
        if grant:
            question.turn(question.way, grant.body)
        # what is reserved is reserved for this service: another one may cost more
        others = () if grant and grant.reserves else served.standby
        standby = [s for s in others if may_ask(self._key, s.name)] if others else ()
        course = Course(served, question, self._session, standby)
        meter = self._meter if question.dialect.metered else UNMETERED
        tally = Tally(self._attempt, meter, served.metrics, question.request.arrived_s, grant)
        pooled = served.prefill is not None or (standby and any(s.prefill is not None for s in standby))
        kind = PooledRelay if pooled else Relay
        kind(course, question, tally, self._connection, self._loop).start(question.request.headers)

    def _refuse(self, refused: Refused) -> None:
        self._served.metrics.answered(refused.status)
        status, body, more = self._question.dialect.refusal(refused)
        self._connection.respond(status, body, more=more)
