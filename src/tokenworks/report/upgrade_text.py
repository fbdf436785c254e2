"""An upgrade in the terminal: a table for each basis in 80 columns, projections marked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tokenworks.plan.upgrade.run import Case, Upgrade
from tokenworks.plan.upgrade.size import DEMAND, DOLLARS, GPUS, POWER
from tokenworks.plan.upgrade.swap import OWNED
from tokenworks.report.figures import short, unit, usd
from tokenworks.report.text_table import WIDTH, table

TITLES: Mapping[str, str] = {
    GPUS: "With as many GPUs, as near as whole systems come",
    POWER: "At the same power (nameplate of IT)",
    DOLLARS: "At the same dollars an hour (electricity apart)",
    DEMAND: "For the same demand",
}
GROWS = "demand grows with capacity: each workload stays the share of what its service sustains"
HEAD = ("", "n", "GPUs", "racks", "tokens/s", "", "$/Mtok", "tokens/J", "state")
DEMAND_HEAD = ("", "n", "racks", "facility", "$/h", "$/Mtok", "payback", "state")


@dataclass(frozen=True)
class Row:
    """A case in words; what cannot be built has only its reason."""

    name: str
    cells: tuple[str, ...]
    reason: str = ""


def upgrade_text(found: Upgrade) -> str:
    """Lines of at most 80 columns."""
    blocks = [textwrap.wrap(headline(found), WIDTH), *(_block(found, basis) for basis in TITLES), list(_notes(found))]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(found: Upgrade) -> str:
    """The cheapest token at the same power (with as many GPUs, where nothing is small enough) among what does what is
    asked, first of what is sold, then of projections."""
    said = []
    basis = POWER if any(c.built for c in of_basis(found, POWER)) else GPUS
    for future in (False, True):
        fit = [c for c in of_basis(found, basis) if c.built and c.row["state"] == "ok" and c.projected == future]
        best = min(fit, key=lambda c: (c.row["usd_per_mtok"], c.system), default=None)
        if best:
            times = best.row["output_tokens_s"] / found.today.row["output_tokens_s"]
            price = best.row["usd_per_mtok"] / found.today.row["usd_per_mtok"]
            bought = " (bought: it has no rental price)" if OWNED in best.notes else ""
            said.append(
                f"{name_of(best)} makes {times:.3g} times the tokens, each at {price:.3g} times the dollars{bought}"
            )
    where = "at the same power" if basis == POWER else f"with as many GPUs ({found.today.gpus:,}) or the nearest"
    what = "; ".join(said) or "nothing newer does what is asked"
    return f"{found.factory} on {found.today.system}, {where}: {what}."


def name_of(case: Case) -> str:
    """Projections carry an asterisk."""
    return case.system + ("*" if case.projected else "")


def of_basis(found: Upgrade, basis: str) -> list[Case]:
    return [case for case in found.cases if case.basis == basis]


def rows(found: Upgrade, basis: str) -> list[Row]:
    """Today's factory, then each system."""
    return [
        _row(found, "today", found.today, basis),
        *(_row(found, name_of(c), c, basis) for c in of_basis(found, basis)),
    ]


def _row(found: Upgrade, name: str, case: Case, basis: str) -> Row:
    if not case.built:
        return Row(name, (), case.row["reason"])
    row = case.row
    count, racks, price = f"{case.count:,}", f"{case.racks:.3g}", usd(row["usd_per_mtok"])
    if basis == DEMAND:
        years = found.payback_years(case)
        back = "" if case is found.today else "never" if years is None else f"{years:.2g} y"
        return Row(name, (count, racks, unit(row["facility_w"], "W"), usd(row["usd_h"]), price, back, row["state"]))
    times = f"×{row['output_tokens_s'] / found.today.row['output_tokens_s']:.3g}"
    made, joule = short(row["output_tokens_s"]), f"{row['tokens_per_j']:.3g}"
    return Row(name, (count, f"{case.gpus:,}", racks, made, times, price, joule, row["state"]))


def _block(found: Upgrade, basis: str) -> list[str]:
    given = rows(found, basis)
    head = DEMAND_HEAD if basis == DEMAND else HEAD
    lines = [TITLES[basis], *table(head, [[r.name, *r.cells] for r in given if r.cells], left=1, most=20)]
    for r in given:
        if not r.cells:
            lines += textwrap.wrap(f"{r.name}: {r.reason}", WIDTH, subsequent_indent="  ")
    return lines


def _notes(found: Upgrade) -> Iterator[str]:
    yield from textwrap.wrap(f"Except for the same demand, {GROWS}.", WIDTH)
    for said in remarks(found):
        yield from textwrap.wrap(said, WIDTH, subsequent_indent="  ")


def remarks(found: Upgrade) -> list[str]:
    """What else is to be known: layouts, changes of the site, projections, how payback is reckoned."""
    said = dict[str, None]()
    for case in found.cases:
        narrow = [f"{s} by {by}" for s, by in zip(found.services, case.layout, strict=False) if by > 1]
        if case.built and narrow:
            said[f"{name_of(case)}: tensor-parallel degrees divided, of {' and '.join(narrow)}."] = None
        for note in case.notes:
            said[f"{name_of(case)}: {note}."] = None
    said["n: systems; racks: those that they fill."] = None
    if any(case.projected for case in found.cases):
        said["* rests on projections: announced, not sold; its price and power may change."] = None
    said[
        "Payback: price over the cash saved a year (all cost but depreciation), today's systems paid for and sold for nothing."
    ] = None
    return list(said)
