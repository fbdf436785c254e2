"""What an export wrote and what it could not say, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from tokenworks.plan.export import Export, Setting


def export_text(made: Export, folder: str) -> str:
    """The files, how many settings they say, and each one that they do not say."""
    said = sum(1 for s in made.settings if s.by)
    lines = [f"{folder}/{name}" for name in made.files]
    lines.append(f"{said} of {len(made.settings)} settings are said; those that {made.target} cannot say:")
    return "\n".join([*lines, *missing(made.not_said)])


def missing(settings: Iterable[Setting]) -> list[str]:
    """One line for each setting that is not said; roles with the same reason share it."""
    roles: dict[tuple[str, str, str, str], list[str]] = {}
    for s in settings:
        roles.setdefault((s.service, s.name, s.value, s.why), []).append(s.role)
    lines = []
    for (service, name, value, why), of in roles.items():
        place = service if len(of) > 1 or of == ["serve"] else f"{service} {of[0]}"
        lines.append(f"  {place}: {name} = {value}: {why}")
    return lines
