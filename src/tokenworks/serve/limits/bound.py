"""The most tokens that a call can use, known before anybody is asked. See docs/decisions/0018-budgets-by-reservation.md.

Input: the bytes of the body. Every token of a byte-level tokenizer covers at least one byte of the text, and JSON never
writes a text in fewer bytes than UTF-8. The template's constant, tools and media come on top where the file declares them;
what it does not declare is bounded by the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tokenworks.serve.body.splice import Body
from tokenworks.serve.dialects.way import CHAT_LIMITS
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits.asked import NOTHING, Asked, asked_of
from tokenworks.serve.limits.media import KINDS, Media, may_hold_media, nests

OWN_TOOLS = (None, "function", "custom")  # that the body describes


class Bounded(msgspec.Struct, frozen=True):
    """Tokens of a call, at most: ``inputs`` of all ``prompts``, and ``outputs`` for each of ``answers``."""

    inputs: int
    outputs: int
    answers: int
    prompts: int = 1

    @property
    def tokens(self) -> int:
        return self.inputs + self.outputs * self.answers


@dataclass(frozen=True)
class Bounds:
    """Of one service. ``template_tokens`` None: not declared, so that no budget can be held. ``emulated``: its engines take what
    their KV cache holds, whatever the model's context is."""

    service: str
    template_tokens: int | None
    context_tokens: int | None
    tools_factor: int | None = None
    media_tokens: tuple[tuple[str, int | None], ...] = tuple((kind, None) for kind in KINDS)
    emulated: bool = False

    def boundless(self) -> Refused:
        """Of a call under a budget, which cannot be held for this service's calls."""
        return Refused(
            400, "no_bound",
            f"{self.service} cannot be used under a budget: its calls have no bound (serve.bounds of the factory file)",
        )  # fmt: skip

    def most(self, body: Body, limits: Sequence[str]) -> Bounded:
        """``limits``: members that limit the answer; none: it makes no tokens. Raises Refused where there is no bound."""
        found = self.plain(body) if limits is CHAT_LIMITS else None
        return found or self.of(body, asked_of(body), limits)

    def plain(self, body: Body) -> Bounded | None:
        """What `of` gives for a chat like most, by what was read of it already; None: it wants a closer look."""
        template, context, known = self.template_tokens, self.context_tokens, body.known
        if template is None or context is None or self.emulated or not body.usual:
            return None
        if nests(body.text, body.depth) and may_hold_media(body.text):
            return None
        most, other = known.max_tokens or 0, known.max_completion_tokens or 0
        if type(most) is not int or type(other) is not int or most < 0 or other < 0:
            return None
        if other > most:
            most = other
        inputs = len(body.text) + template
        return Bounded(inputs if inputs < context else context, most if 0 < most < context else context, 1)

    def of(self, body: Body, asked: Asked, limits: Sequence[str]) -> Bounded:
        """`most`, after a closer look."""
        count = asked.choices * asked.prompts if limits else 1
        inputs = self._inputs(body, asked, count)
        prompts = count if limits else asked.inputs
        return Bounded(inputs, self._outputs(asked, limits) if limits else 0, count, prompts)

    def _outputs(self, asked: Asked, limits: Sequence[str]) -> int:
        most, context = asked.most_outputs(limits), self.context_tokens
        if asked.emulate and asked.emulate.output_tokens and most is None:
            most = asked.emulate.output_tokens
        if most is None and context is None:
            raise Refused(400, "no_bound", f"{self.service} has no known context: say {limits[0]}", param=limits[0])
        if self.emulated and most is not None:
            return most
        return min(v for v in (most, context) if v is not None)

    def _inputs(self, body: Body, asked: Asked, count: int) -> int:
        """Engines may count a prompt once for each of its choices, so it is counted so here."""
        text = len(body.text) + (self.template_tokens or 0)
        text += (asked.emulate.input_tokens or 0) if asked.emulate else 0
        more = self._tools(asked)
        lists = asked.input is not NOTHING or asked.system is not NOTHING  # which may hold parts by themselves
        if (lists or nests(body.text, body.depth)) and may_hold_media(body.text):
            more = _sum(more, self._media(asked))
        context = self.context_tokens
        if more is None or asked.stored:
            if context is None:
                raise Refused(400, "no_bound", f"{self.service}: tools and media need serve.bounds, or a known context")
            return context * count
        whole = (text + more) * count
        return whole if context is None or self.emulated else min(whole, context * count)

    def _tools(self, asked: Asked) -> int | None:
        """Beyond the bytes that stand in the body; None: not declared."""
        if asked.tools is NOTHING and asked.functions is NOTHING:
            return 0
        size = sum(len(bytes(raw)) for raw in (asked.tools, asked.functions) if bytes(raw) not in (b"", b"null", b"[]"))
        if not size:
            return 0
        if asked.tools is not NOTHING and _has_foreign(asked.tools):
            return None
        return None if self.tools_factor is None else size * (self.tools_factor - 1)

    def _media(self, asked: Asked) -> int | None:
        found = Media()
        try:
            for raw in (asked.messages, asked.system, asked.input):
                found.look(raw)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Refused(400, "invalid_json", f"the body cannot be bounded: {error}") from None
        total: int | None = -found.inline_bytes
        for kind, most in self.media_tokens:
            count = found.counts[kind]
            total = _sum(total, 0 if not count else None if most is None else most * count)
        return total


class _Tool(msgspec.Struct):
    type: Any = None


_decode_tools = msgspec.json.Decoder(list[_Tool] | None).decode


def _has_foreign(tools: msgspec.Raw) -> bool:
    """Whether the provider writes one of them out by itself (Anthropic's ``bash_20250124``): its bytes are not in the body."""
    try:
        return any(tool.type not in OWN_TOOLS for tool in _decode_tools(tools) or ())
    except msgspec.MsgspecError as error:
        raise Refused(400, "invalid_json", f"the body cannot be bounded: {error}") from None


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
