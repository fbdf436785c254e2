"""The scheduling rules of an engine at a version: its facts, overridden by the eras that the version falls into."""

from __future__ import annotations

import re
from typing import Any

from tokenworks.catalog.loader import load


def version_number(version: str) -> tuple[int, ...]:
    """(0, 13, 0) from "v0.13.0-cu12"; () when no number is printed."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part) for part in match.groups() if part is not None) if match else ()


def engine_rules(engine: str, version: str = "", date: str = "") -> dict[str, Any]:
    """All rules of the engine. Eras apply in file order: ``until_version`` is inclusive, ``from_version`` too."""
    entry = load("engines", engine)
    rules = {key: fact.value for key, fact in entry.facts.items()}
    for era in entry.extra.get("eras", ()):
        if _inside(era, version_number(version), date):
            rules.update({k: v for k, v in era.items() if not k.startswith(("from_", "until_"))})
    return rules


def _inside(era: dict[str, Any], version: tuple[int, ...], date: str) -> bool:
    if "until_version" in era or "from_version" in era:
        if not version:
            return False
        until = version_number(str(era.get("until_version", "9999.0")))
        return version_number(str(era.get("from_version", "0.0"))) <= version[:2] and version[: len(until)] <= until
    return str(era.get("from_date", "")) <= date <= str(era.get("until_date", "9999")) if date else False
