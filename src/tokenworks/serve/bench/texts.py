"""Made-up text of a stated number of tokens: common words in random order, the same for the same key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# short words that most vocabularies hold whole; a server's own /tokenize says which it does
_COMMON = """
time year people way day man thing woman life child world school state family student group country problem hand
part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father
power hour game line end member law car city community name president team minute idea body information back parent
face others level office door health person art war history party result change morning reason research girl guy
moment air teacher force education foot boy age policy process music market sense nation plan college interest death
experience effect use class control field development role effort rate heart drug show leader light voice wife police
mind price report decision son view town road arm difference value building action season society tax director
position player record paper space ground form event matter center project activity star table need court oil
situation cost industry figure street image phone data picture practice piece land product doctor wall patient worker
news test movie north love support technology step baby computer type attention film tree source organization hair
look window evidence culture chance brother energy period course summer plant opportunity term letter condition choice
"""
WORDS = tuple(_COMMON.split())


@dataclass(frozen=True)
class Words:
    """A token a word."""

    words: Sequence[str]

    def piece(self, tokens: int, key: tuple[int, int]) -> str:
        """Text of so many tokens; every word has a blank before it."""
        return "".join(f" {self.words[i]}" for i in _draw(key, len(self.words), tokens))


@dataclass(frozen=True)
class Characters:
    """So many characters for a token, whatever the server's vocabulary makes of them."""

    per_token: float

    def piece(self, tokens: int, key: tuple[int, int]) -> str:
        """Text of tokens × per_token characters."""
        length = max(1, round(tokens * self.per_token))
        picks = _draw(key, len(WORDS), length // 4 + 8)  # words are longer than four letters and a blank in the mean
        return "".join(f" {WORDS[i]}" for i in picks)[:length].ljust(length, "a")


def _draw(key: tuple[int, int], below: int, count: int) -> list[int]:
    drawn: list[int] = (
        np.random.Generator(np.random.Philox(key=np.array(key, np.uint64))).integers(0, below, count).tolist()
    )
    return drawn
