"""Agents in the terminal: amplification, what it is made of, money."""

from __future__ import annotations

from textwrap import wrap

from tokenworks.report.agent_page import WORDS, AgentPage
from tokenworks.report.figures import percent, short

WIDTH = 100
INDENT = "        "


def agent_text(found: AgentPage) -> str:
    """A few lines of at most 100 columns."""
    lines = ["Agents  " + f"{found.note}."]
    lines.append(INDENT + " · ".join(f"{card.label} {card.value}" for card in found.cards))
    total = sum(tokens for _, tokens in found.causes)
    if total:
        parts = sorted((pair for pair in found.causes if pair[1]), key=lambda pair: -pair[1])
        said = ", ".join(f"{WORDS.get(name, name)} {percent(tokens / total)}" for name, tokens in parts)
        lines.append(f"{INDENT}{short(total)} tokens processed: {said}")
    return "\n".join(_folded(line) for line in lines) + "\n"


def _folded(line: str) -> str:
    return "\n".join(wrap(line, WIDTH, subsequent_indent=INDENT, break_long_words=False))
