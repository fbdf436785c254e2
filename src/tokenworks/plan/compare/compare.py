"""Everything about several sides: fields, figures, and why each differs from the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenworks.plan.compare.factors import ENERGY, PRICE, by_term, terms, tokens_per_j, usd_per_mtok
from tokenworks.plan.compare.fields import Difference, differences
from tokenworks.plan.compare.sides import Line, Side, lines
from tokenworks.plan.compare.swap import Swapped, swapped
from tokenworks.twin.spread import Crew, Stop


@dataclass(frozen=True)
class Why:
    """What makes one side differ from the first: figure → cause → its part of the change, in the figure's unit."""

    side: str
    before: Mapping[str, float]  # the figures of the first side
    after: Mapping[str, float]
    by_term: Mapping[str, Mapping[str, float]]
    swapped: Swapped | None  # None: one has no factory file, or fewer than two parts differ


@dataclass(frozen=True)
class Comparison:
    """``fields`` is empty where a side has no factory file (``without``: which)."""

    names: tuple[str, ...]
    fields: tuple[Difference, ...]
    lines: tuple[Line, ...]
    why: tuple[Why, ...]
    without: tuple[str, ...]


def compare(
    sides: Sequence[Side],
    crew: Crew,
    swap: bool = True,
    say: Callable[[str], None] = lambda _: None,
    stop: Stop = lambda: False,
) -> Comparison:
    """Each side against the first. ``swap``: also exchange parts of the files and rehearse the mixtures."""
    factories = [side.factory for side in sides if side.factory]
    without = tuple(side.name for side in sides if side.factory is None)
    why = tuple(w for side in sides[1:] if (w := _why(sides[0], side, crew, swap, say, stop)))
    fields = () if without else tuple(differences(factories))
    return Comparison(tuple(s.name for s in sides), fields, tuple(lines(sides)), why, without)


def _why(first: Side, side: Side, crew: Crew, swap: bool, say: Callable[[str], None], stop: Stop) -> Why | None:
    """None where one of them made no token."""
    before, after = terms(first.result), terms(side.result)
    if before is None or after is None:
        return None
    mixed = None
    if swap and first.factory and side.factory:
        mixed = swapped(first.factory, side.factory, crew, say, stop)
    figures = [{PRICE: usd_per_mtok(t), ENERGY: tokens_per_j(t)} for t in (before, after)]
    return Why(side.name, figures[0], figures[1], by_term(before, after), mixed)
