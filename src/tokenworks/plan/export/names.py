"""Names that Kubernetes, Compose and file systems take."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 40  # of 63 characters of a DNS label: roles, ordinals and hashes of pods are appended


def label(text: str) -> str:
    """A DNS label (RFC 1123): lower case letters, digits and dashes; begins with a letter.

    >>> label("Chat 70B (Prod)"), label("Größe_2"), label("1st"), label("聊天")
    ('chat-70b-prod', 'grosse-2', 's-1st', 's')
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ø", "o"))
    ascii_only = plain.encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")
    named = words if words[:1].isalpha() else f"s-{words}".rstrip("-")
    return named[:LONGEST].rstrip("-")


def unique(texts: Sequence[str]) -> dict[str, str]:
    """Text → label, a different one for each text; later ones get a number.

    >>> unique(["a b", "a_b", "a-b-2"])
    {'a b': 'a-b', 'a_b': 'a-b-3', 'a-b-2': 'a-b-2'}
    """
    plain = [label(text) for text in texts]
    found: dict[str, str] = {}
    for text, name in zip(texts, plain, strict=True):
        if name not in found.values():
            found[text] = name
            continue
        number = next(n for n in range(2, len(texts) + 3) if f"{name}-{n}" not in (*found.values(), *plain))
        found[text] = f"{name}-{number}"
    return found
