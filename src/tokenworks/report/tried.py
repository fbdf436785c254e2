"""The words of advice: changes that were tried, what they do, and whether they help."""

from __future__ import annotations

from tokenworks.events.results import RunResult, WhatIf


def effects(changes: tuple[tuple[str, float], ...], most: int = 4) -> str:
    """Effects of a change: the first one always, of the others the largest: "$/Mtok +4%, TPOT p95 −18%"."""
    rest = sorted(range(1, len(changes)), key=lambda i: -abs(changes[i][1]))[: most - 1]
    kept = [i for i in range(len(changes)) if i == 0 or (i in rest and abs(changes[i][1]) >= 0.005)]
    said = (f"{changes[i][0]} {changes[i][1]:+.0%}" for i in kept)
    return ", ".join(said).replace("-", "−").replace("+0%", "±0%").replace("−0%", "±0%")


def tried(found: WhatIf) -> str:
    """A change, what it does, and what it breaks."""
    broken = f"; but {', '.join(found.broken)}" if found.broken else ""
    return f"{found.label}: {effects(found.effects)}{broken}"


def mark(found: WhatIf) -> str:
    """✓ helps and does what is asked, ⚠ helps but not enough, – does not help."""
    return "–" if not found.helps else "⚠" if found.broken else "✓"


NOT_TRIED = "Not asked for in this run: no change was tried."
KEY = "✓ helps, ⚠ helps but not enough, – does not help."


def advice_note(result: RunResult) -> str:
    """How changes were tried, with the key to their marks; or that none was."""
    return " ".join(filter(None, [result.advice_note or NOT_TRIED, KEY if result.advice else ""]))


def advice_title(result: RunResult) -> str:
    """What the list of changes is."""
    if not result.advice:
        return "What would help most"
    helpful = any(w.helps for w in result.advice)
    return "What would help most" if helpful else "What would help: nothing that was tried; the closest"
