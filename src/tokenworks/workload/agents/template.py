"""Templates of agents: what a run of each does, in phases, as the catalogue describes it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from tokenworks.catalog import loader
from tokenworks.catalog.facts import Entry
from tokenworks.errors import CatalogError

KIND = "agents"
PURPOSES = ("plan", "reason", "tool", "sub-agent", "verify", "retry", "answer", "final")


@dataclass(frozen=True)
class Phase:
    """Calls of one kind, one after the other. Tokens are means of one call."""

    purpose: str
    calls: int = 1
    team: str = ""  # "": the lead; else sub-agents side by side, each with a context of its own
    agents: int = 1  # of a team; the same in all its phases
    new: int = 0  # tokens that come into the context before each call: a message, a tool's result
    visible: int = 0
    reasoning: int = 0  # does not come back in later prompts
    tool: int = 0  # of the call's answer: the request to a tool
    uses: str = ""  # the tool that runs before each call
    tool_s: float = 0.0  # seconds it takes
    think_s: float = 0.0  # seconds that a person takes before each call
    seen: bool = False  # the run's user sees its visible output
    failed: bool = False  # its output is thrown away, and the call leaves nothing in the context


@dataclass(frozen=True)
class Template:
    """An agent. Sizes of a run vary around the phases' means by independent factors with mean 1."""

    id: str
    name: str
    phases: tuple[Phase, ...]
    shared: int  # tokens of system prompt and tools before every prompt of the lead
    team_shared: int  # … of a sub-agent
    run_sigma: float  # spread of a run's factors, of the logarithm
    call_sigma: float  # spread of a call's factors
    time_sigma: float  # spread of pauses
    abandoned: Fraction  # share of runs given up, anywhere in them
    retry: Fraction  # share of calls whose first attempt fails


def template_ids() -> tuple[str, ...]:
    """All templates in phases, the user's own among them."""
    return tuple(name for name in loader.ids(KIND) if "phases" in loader.load(KIND, name).extra)


@lru_cache(maxsize=64)
def load_template(name: str) -> Template:
    """Raises InputError with the nearest name for an unknown one, CatalogError for a malformed entry."""
    return template_of(loader.load(KIND, name))


def template_of(entry: Entry) -> Template:
    """A template from its entry, checked."""
    if "phases" not in entry.extra:
        raise CatalogError(f"agents/{entry.id} has no phases: it is fitted to a recording")
    phases = tuple(_phase(entry.id, number, row) for number, row in enumerate(entry.extra["phases"], 1))
    if not any(phase.seen for phase in phases):
        raise CatalogError(f"agents/{entry.id}: no phase is seen: a run must show its user something")
    if phases[0].team or phases[-1].team:
        raise CatalogError(f"agents/{entry.id}: a run begins and ends with its lead, not with a team")
    if any(a.team and b.team and a.team != b.team for a, b in pairwise(phases)):
        raise CatalogError(f"agents/{entry.id}: a team follows a team: the lead must take the first one's answers")
    return Template(
        entry.id,
        entry.name,
        phases,
        shared=int(entry["shared"]),
        team_shared=int(entry.get("team_shared") or 0),
        run_sigma=float(entry["run_sigma"]),
        call_sigma=float(entry["call_sigma"]),
        time_sigma=float(entry["time_sigma"]),
        abandoned=_share(entry, "abandoned"),
        retry=_share(entry, "retry"),
    )


def _share(entry: Entry, key: str) -> Fraction:
    """As written in decimal, not as its binary neighbour."""
    share = Fraction(str(entry.get(key) or 0))
    if not 0 <= share < 1:
        raise CatalogError(f"agents/{entry.id}: {key} is {share}, not a share below 1")
    return share


def _phase(owner: str, number: int, row: dict[str, Any]) -> Phase:
    known = [field.name for field in fields(Phase)]
    strange = sorted(set(row) - set(known))
    if strange:
        raise CatalogError(f"agents/{owner}: phase {number} has {strange[0]!r}; a phase has {', '.join(known)}")
    phase = Phase(**row)
    if phase.purpose not in PURPOSES:
        raise CatalogError(f"agents/{owner}: phase {number} is for {phase.purpose!r}, not one of {', '.join(PURPOSES)}")
    if phase.calls < 1 or phase.agents < 1 or min(phase.new, phase.visible, phase.reasoning, phase.tool) < 0:
        raise CatalogError(f"agents/{owner}: phase {number} needs at least one call, and no negative tokens")
    if phase.visible + phase.reasoning + phase.tool < 1:
        raise CatalogError(f"agents/{owner}: phase {number} has no output")
    return phase
