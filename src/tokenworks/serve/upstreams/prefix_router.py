"""KV-aware routing: the twin's policy over what the gateway knows of its upstreams' prefix caches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.control.routing import KV_AWARE, choose_kv_aware, kv_load
from tokenworks.serve.upstreams.breaker import BreakerRules
from tokenworks.serve.upstreams.prefix_index import PrefixIndex
from tokenworks.serve.upstreams.prompt import ANSWER_TOKENS, UNIT_TOKENS, Prompt
from tokenworks.serve.upstreams.routing import Router

if TYPE_CHECKING:
    from tokenworks.serve.upstreams.upstream import Upstream

BLOCK_TOKENS = 16  # in which loads are counted
NOTHING = Prompt((), ANSWER_TOKENS)


class PrefixRouter(Router):
    """Load is outstanding tokens in blocks, less ``kv_weight`` times the blocks that an upstream has cached."""

    reads_prompts = True

    def __init__(
        self, service: str, upstreams: Sequence[Upstream], seed: int, rules: BreakerRules, kv_weight: float,
        block_tokens: int = BLOCK_TOKENS, unit_tokens: int = UNIT_TOKENS,
    ):  # fmt: skip
        self._tokens: list[int] = []
        self._block, self._unit = block_tokens, unit_tokens
        self._gain = round(kv_weight * 256) * max(1, unit_tokens // block_tokens)
        self.index = PrefixIndex()
        super().__init__(service, upstreams, KV_AWARE, seed, rules)
        choose_kv_aware(self._loads, np.zeros(len(upstreams), np.int64), 1)  # compiled before the first caller waits

    def take_over(self, fresh: Router) -> list[Upstream]:
        assert isinstance(fresh, PrefixRouter)
        self._gain = fresh._gain
        return super().take_over(fresh)

    def _enlist(self, upstream: Upstream) -> None:
        super()._enlist(upstream)
        self._tokens.append(0)
        self.index.add(upstream.kv_tokens // self._unit)

    def _load(self, i: int) -> int:
        return int(kv_load(self._tokens[i] + self.elsewhere[i] * ANSWER_TOKENS, self._block))

    def _place_for(self, session: int, prompt: Prompt | None) -> int:
        runs = self.index.runs((prompt or NOTHING).hashes)
        return int(choose_kv_aware(self._loads, runs[self._members], self._gain))

    def take(
        self, session: int, now_s: float, tried: Collection[int] = (), prompt: Prompt | None = None, begun: bool = False,
        wary: bool = False,
    ) -> int:  # fmt: skip
        i = super().take(session, now_s, tried, prompt, begun, wary)
        self._tokens[i] += (prompt or NOTHING).tokens
        self._follow(i)
        return i

    def release(self, i: int, prompt: Prompt | None = None) -> None:
        if prompt and prompt.hashes and self.index.runs(prompt.hashes[:1])[i]:
            self.index.touch(i, prompt.hashes)
        self._tokens[i] -= (prompt or NOTHING).tokens
        super().release(i, prompt)

    def prefilled(self, i: int, prompt: Prompt) -> None:
        self.index.touch(i, prompt.hashes)
