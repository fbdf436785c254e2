"""What became of every setting: said by a flag or field of the target, or named as something that it has no setting for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from tokenworks import catalog
from tokenworks.plan.export.clock import host_setting
from tokenworks.plan.export.units import Unit

NO_SETTING = {
    "on": "where it runs is said by whoever starts it, or by a node selector of your own",
    "slo.": "an objective to watch, not a setting",
}


@dataclass(frozen=True)
class Setting:
    """One setting of the factory file. Either ``by`` (flag, field or file that says it) or ``why`` (it is not said)."""

    service: str
    role: str  # "serve", "prefill" or "decode"
    name: str  # as in the factory file
    value: str
    by: str
    why: str


@dataclass
class Record:
    """Settings in the order in which they were told; of two tellings of one setting the first counts."""

    told: dict[tuple[str, str, str], Setting] = field(default_factory=dict)

    def said(self, unit: Unit, name: str, by: str) -> None:
        """The target says this setting."""
        self._keep(unit, name, by, "")

    def lacks(self, unit: Unit, name: str, why: str) -> None:
        """The target cannot say this setting, or only nearly."""
        self._keep(unit, name, "", why)

    def finish(self, unit: Unit, target: str) -> None:
        """Whatever no one has spoken of is named: nothing is dropped silently."""
        for name in unit.asked:
            known = next((why for start, why in NO_SETTING.items() if name.startswith(start)), None)
            known = host_setting(unit) if name == "clock" else known
            self.lacks(unit, name, known or f"{target} has no setting for it")

    def of(self, service: str) -> tuple[Setting, ...]:
        return tuple(s for s in self.told.values() if s.service == service)

    def of_unit(self, unit: Unit) -> tuple[Setting, ...]:
        return tuple(s for s in self.of(unit.service.name) if s.role == unit.role)

    def planned_with(self, unit: Unit, family: str, engine: str) -> None:
        """Whether the engine is the one that the factory was planned with, and whose version the flags are."""
        written = catalog.load("images", family)["version"]
        if unit.engine == family:
            self.said(unit, "engine", engine)
        else:
            self.lacks(unit, "engine", f"exported to {engine}: what was rehearsed with another engine does not hold")
        planned = f"the figures are those of {unit.service.engine} as given"
        self.lacks(unit, "engine_version", f"written for {engine} {written}; {planned}")

    def _keep(self, unit: Unit, name: str, by: str, why: str) -> None:
        if name not in unit.asked:
            return
        key = (unit.service.name, unit.role, name)
        self.told.setdefault(key, Setting(*key, unit.asked[name], by, why))


class Shell(str):
    """A word that the shell still expands, so that it is not quoted."""

    __slots__ = ()


@dataclass
class Arguments:
    """A command line that remembers which setting each of its flags says."""

    unit: Unit
    record: Record
    words: list[str] = field(default_factory=list)

    def flag(self, name: str, *words: str | int | float) -> None:
        """Add words that say the setting; ``name`` "" for words that say none (ports, addresses)."""
        texts = [w if isinstance(w, str) else f"{w:.10g}" for w in words]
        self.words += texts
        if name:
            self.record.said(self.unit, name, shlex.join(texts))

    def lacks(self, name: str, why: str) -> None:
        self.record.lacks(self.unit, name, why)

    def default(self, name: str, how: str) -> None:
        """The engine does it without being told."""
        self.record.said(self.unit, name, how)


def quoted(words: list[str]) -> list[str]:
    """Words as a POSIX shell reads them back; shell expansions stay expansions."""
    return [w if isinstance(w, Shell) else shlex.quote(w) for w in words]
