"""A stream that has begun and whose upstream is lost: it goes on at another one, ends where it is whole, or breaks off."""

from __future__ import annotations

from functools import partial

from tokenworks.serve.body.splice import reread
from tokenworks.serve.body.stream import DONE, END_OF_EVENT
from tokenworks.serve.body.usage import MISSING
from tokenworks.serve.call.ending import Ending
from tokenworks.serve.http.request import Refused

MOST_MOVES = 32  # of a stream from upstream to upstream
BROKE_OFF = Refused(502, "upstream_failed", "the upstream broke off in the middle of its answer")


class Onward(Ending):
    """How a call outlives an upstream in the middle of its stream."""

    def _ask(self, fresh: bool) -> None:
        """Asks the upstream at which the call is; ``fresh``: over a new connection."""
        raise NotImplementedError

    def _go_on(self, asked: bool) -> None:
        """The upstream of a stream that has begun is lost: another one goes on where it broke off, or the stream breaks off.
        ``asked``: it had the call, so what it made is metered."""
        try:
            self._move(asked)
        except Exception as error:  # noqa: BLE001 - a defect of ours; its caller waits
            self._loop.call_exception_handler({"message": "while a stream went on", "exception": error})
            self._leave_upstream()
            self._break_off(BROKE_OFF)

    def _move(self, asked: bool) -> None:
        part, said = self._incoming.told(whole=False), self._question.said
        progressed = self._continuity is not None and self._continuity.progressed
        if end := self._all_but_end():
            self._leave_upstream()
            self._tally.write(part, partial(self._end_stream, rest=end))
            return
        ended = self._incoming.stream is not None and self._incoming.stream.held  # nothing to go on with
        text = self._continuity.continuation(said.text) if self._continuity and not ended else None
        if asked:
            self._tally.write(part, failed=part is MISSING)
        self._moves += 1
        if text is not None and self._moves <= MOST_MOVES and self._course.onward(self._loop.time(), progressed):
            self._question.asks = reread(text)
            self._tally.again(self._tally.beside())
            self._ask(False)
            return
        self._leave_upstream()
        self._break_off(BROKE_OFF)

    def _all_but_end(self) -> bytes:
        """The end of an answer whose text is whole; b"" where more of it is to come."""
        continuity, stream, said = self._continuity, self._incoming.stream, self._question.said
        if continuity is None:
            return b""
        if self._translation is not None and not continuity.counted:
            return b""  # its dialect's end tells the usage
        if stream is not None and stream.held:
            return continuity.forward(b"".join(stream.held)) + DONE + END_OF_EVENT
        return continuity.end(said.wants_usage) if continuity.exhausted(said.text) else b""
