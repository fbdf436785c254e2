"""Mean figures of the templates, exact: what a run processes, what its user sees, and their ratio."""

from __future__ import annotations

from fractions import Fraction
from typing import TypedDict

import numpy as np

from tokenworks.catalog import loader
from tokenworks.workload.agents.grow import contexts
from tokenworks.workload.agents.layout import Layout, layout_of
from tokenworks.workload.agents.template import KIND, template_ids

Number = int | float


class Figures(TypedDict):
    """One template. Whole numbers are ints."""

    name: str
    total_tokens: Number  # mean of a run: all input and output tokens of all attempts
    visible_tokens: Number  # mean of a run: what its user sees
    taf: float  # the ratio of the two means


def templates() -> list[Figures]:
    """Every template of the catalogue, by name: those in phases exactly, the fitted one by the sums it is fitted to."""
    from tokenworks.workload.agents.tables import fitted_ids, fitted_means

    means = {name: mean_tokens(layout_of(name)) for name in template_ids()}
    means |= {name: fitted_means(name) for name in fitted_ids()}
    return [_figures(name, *means[name]) for name in sorted(means)]


def mean_tokens(layout: Layout) -> tuple[Fraction, Fraction]:
    """(total, visible) tokens of a mean run. Totals are linear in sizes that vary independently with the means of the
    layout, so they are those of a run of mean sizes; attempts that fail and runs that are given up are weighed in."""
    size = layout.size.astype(np.int64)
    inputs, _ = contexts(layout, size)
    tries = [Fraction(1) if failed else 1 + layout.template.retry for failed in layout.failed]
    costs = [times * int(i + o) for times, i, o in zip(tries, inputs, size[1:].sum(axis=0), strict=True)]
    shown = [Fraction(int(v)) if seen else Fraction(0) for v, seen in zip(size[1], layout.seen, strict=True)]
    return _with_given_up(costs, layout), _with_given_up(shown, layout)


def _with_given_up(by_call: list[Fraction], layout: Layout) -> Fraction:
    """A run that is given up makes its first k calls, k equally likely from 1 to all: call i (from 0) is made in
    (n − i) of n cases."""
    share, n = layout.template.abandoned, len(by_call)
    return sum(((1 - share + share * Fraction(n - i, n)) * x for i, x in enumerate(by_call)), Fraction(0))


def _figures(name: str, total: Fraction, visible: Fraction) -> Figures:
    return Figures(name=name, total_tokens=_number(total), visible_tokens=_number(visible), taf=float(total / visible))


def _number(value: Fraction) -> Number:
    return int(value) if value.denominator == 1 else float(value)


def remarks() -> list[str]:
    """What the narrative prints against what its own totals give."""
    said = list[str]()
    for name in loader.ids(KIND):
        told = loader.load(KIND, name).extra.get("narrative")
        if told is None:
            continue
        total, visible = mean_tokens(layout_of(name))
        low, high = told["range"]
        ratio = float(total / visible)
        printed = f"printed there as {told['printed']}, " if round(ratio) != told["printed"] else ""
        place = "outside" if not low <= ratio <= high else "inside"
        said.append(
            f"{name}: {int(total):,} tokens for {int(visible):,} visible ones are {ratio:.2f}, {printed}{place} the "
            f"narrative's own range of {low} to {high}."
        )
    return said
