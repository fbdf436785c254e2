"""What a factory costs by month, for profit and loss: from the books of its runs, or from its factory file.

A run's books are metered joules at the tariff, and the capital path over its horizon; they belong to the months that the
run lasted. A factory file alone gives the capital path of whole months, but no energy: nothing was metered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from tokenworks.economics.capital import SystemFacts
from tokenworks.economics.facts import facts_of
from tokenworks.economics.tariff import MONTH_S
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import MICRO
from tokenworks.pricing.money import rounded, split, total
from tokenworks.pricing.periods import month
from tokenworks.spec.factory import Factory

DOLLAR = "USD"
KEYS = {
    "energy": "energy",
    "demand charge": "energy",
    "rent": "rent",
    "space and cooling plant": "lease",
    "maintenance": "maintenance",
    "staff": "staff",
    "depreciation": "depreciation",
    "network": "depreciation",  # between systems, bought on their terms; its upkeep is in it
}


class Part(msgspec.Struct):
    label: str
    value: float


class Money(msgspec.Struct):
    total_usd: float
    parts: list[Part]


class RunBooks(msgspec.Struct):
    """Of a run's result.json, what is needed here."""

    factory: str
    horizon_s: float
    interrupted: bool
    money: Money
    seed: int = 0


@dataclass(frozen=True)
class Bought:
    """Systems that the factory owns, as the books of a month know assets."""

    name: str
    price: Decimal
    residual: Decimal
    life_months: int


@dataclass(frozen=True)
class FactoryCosts:
    """Dollars by month and kind, to the cent; what is bought in the first month."""

    by_month: Mapping[str, Mapping[str, Decimal]]
    bought: tuple[Bought, ...] = ()
    keys: frozenset[str] = frozenset()  # kinds that come from the factory alone

    def of(self, label: str, key: str) -> Decimal:
        return self.by_month.get(label, {}).get(key, Decimal(0))

    @property
    def usd(self) -> Decimal:
        return total([usd for costs in self.by_month.values() for usd in costs.values()], DOLLAR)


NO_FACTORY = FactoryCosts({})


def read_run(path: Path) -> RunBooks:
    """Raises InputError where the file is no result of a run, or of one that was cut off."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RunBooks)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: no result of `tokenworks run` ({error})") from None
    strange = [part.label for part in found.money.parts if part.label not in KEYS]
    if strange:
        raise InputError(f"{path}: unknown cost {strange[0]!r}; known are {', '.join(KEYS)}")
    if found.interrupted:
        raise InputError(f"{path}: the run was interrupted; its books are of a part of it")
    return found


def of_runs(runs: Sequence[RunBooks], begin_us: int, labels: Sequence[str]) -> FactoryCosts:
    """Runs that began at ``begin_us``. To the cent, kinds and months sum to each run's total. InputError outside of labels, and
    for a run that is named twice."""
    _require_once(runs)
    costs: dict[str, dict[str, Decimal]] = {}
    for run in runs:
        whole = rounded(Fraction(run.money.total_usd), DOLLAR)
        values = [max(0, round(part.value * MICRO)) for part in run.money.parts]
        spans = _spans(begin_us, begin_us + round(run.horizon_s * MICRO), labels, run.factory)
        if not sum(values):
            continue
        for part, usd in zip(run.money.parts, split(whole, values, DOLLAR), strict=True):
            for label, share in zip(spans, split(usd, list(spans.values()), DOLLAR), strict=True):
                of_month = costs.setdefault(label, {})
                key = KEYS[part.label]
                of_month[key] = total([of_month.get(key, Decimal(0)), share], DOLLAR)
    return FactoryCosts(costs, keys=frozenset(KEYS.values()) - {"staff"})


def _require_once(runs: Sequence[RunBooks]) -> None:
    for place, run in enumerate(runs):
        if run in runs[:place]:
            raise InputError(f"the run of {run.factory} with seed {run.seed} is named twice: its costs count once")


def _spans(begin_us: int, end_us: int, labels: Sequence[str], name: str) -> dict[str, int]:
    """Microseconds of a stretch of time in each month."""
    periods = [month(label) for label in labels]
    spans = {p.label: min(end_us, p.end_us) - max(begin_us, p.start_us) for p in periods}
    found = {label: us for label, us in spans.items() if us > 0}
    if sum(found.values()) != end_us - begin_us:
        raise InputError(f"the run of {name} lasts beyond the books, which cover {labels[0]} to {labels[-1]}")
    return found


def _monthly_usd(system: SystemFacts, length_s: float) -> Iterator[tuple[str, float]]:
    """What is paid month by month; of the network between systems its upkeep, its price being bought with theirs."""
    for cause, usd in system.costs_usd(length_s).items():
        if cause == "network":
            yield from system.kept_usd(system.network_usd, length_s).items()
        else:
            yield cause, usd


def of_factory(factory: Factory, labels: Sequence[str]) -> FactoryCosts:
    """The capital path of whole months. Depreciation and investment follow from what is bought."""
    costs: dict[str, dict[str, Decimal]] = {}
    bought = []
    for system in facts_of(factory).systems:
        for label in labels:
            period = month(label)
            of_month = costs.setdefault(label, {})
            for cause, usd in _monthly_usd(system, (period.end_us - period.start_us) / MICRO):
                key = KEYS[cause]
                if key != "depreciation":
                    of_month[key] = total([of_month.get(key, Decimal(0)), rounded(Fraction(usd), DOLLAR)], DOLLAR)
        if system.owned:
            price, residual = (
                rounded(Fraction(system.price_usd + system.network_usd), DOLLAR),
                Decimal(str(system.residual_share)),
            )
            bought.append(Bought(system.id, price, residual, max(1, round(system.life_s / MONTH_S))))
    return FactoryCosts(costs, tuple(bought), frozenset(KEYS.values()) - {"staff", "energy"})


def tied(costs: FactoryCosts, ledger_micro: int) -> dict[str, Any]:
    """The factory's costs beside what its ledger's events bear. Raises InputError where the events bear more: then a run
    is missing, or the ledger is another factory's."""
    booked = Fraction(ledger_micro, MICRO)
    rest = Fraction(costs.usd) - booked
    if rest < -Fraction(1, 100):
        raise InputError(
            f"the events of the ledger cost ${float(booked):,.2f}, the runs only ${costs.usd:,.2f}: name every run (--run)"
        )
    return {
        "factory_usd": str(costs.usd),
        "ledger_micro_usd": ledger_micro,
        "not_allocated_usd": str(rounded(rest, DOLLAR)),
    }
