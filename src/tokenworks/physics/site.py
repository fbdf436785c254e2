"""Site calibrations: what an owner's measurements add to the terms of the deployments that were measured.

A file of JSON, made by `tokenworks calibrate --with`. Its effects are keyed to the whole identity of a deployment, so
that no other one moves: effects of one tensor-parallel degree made predictions of another one worse on published sweeps
(docs/site-calibration.md).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError
from tokenworks.physics.deployment import Deployment, SiteTerms
from tokenworks.physics.terms import CALIBRATION, NAMES

FORMAT = "tokenworks site calibration"
IDENTITY = (
    "accelerator", "model", "engine", "engine_version", "weights", "kv", "tp", "pp", "dp", "ep", "draft_tokens",
)  # fmt: skip
MADE_ANEW = "make it anew with `tokenworks calibrate --with`"


@dataclass(frozen=True)
class Site:
    """The deployments of a site calibration, by identity."""

    file: str
    known: dict[tuple[str | int, ...], SiteTerms]

    def of(self, deployment: Deployment) -> SiteTerms | None:
        """What was measured of this very deployment; None where it was not."""
        return self.known.get(identity(deployment))

    def nearest(self, deployment: Deployment) -> str:
        """In words, where the most similar measured deployment differs from this one, which was not measured."""
        wanted = identity(deployment)
        others = sorted((self._difference(key, wanted) for key in self.known), key=lambda parts: len(parts))
        return f"measured was {', '.join(others[0])}" if others else "nothing was measured"

    @staticmethod
    def _difference(known: tuple[str | int, ...], wanted: tuple[str | int, ...]) -> list[str]:
        pairs = zip(IDENTITY, known, wanted, strict=True)
        return [f"{name} {had or 'unknown'}, not {want or 'unknown'}" for name, had, want in pairs if had != want]


def identity(deployment: Deployment) -> tuple[str | int, ...]:
    """What two deployments must share for one's measurements to speak for the other."""
    return tuple(getattr(deployment, name) for name in IDENTITY)


@lru_cache(maxsize=1)
def shipped_id() -> str:
    """Fingerprint of the shipped calibration, to which site effects are relative."""
    data = b"".join((CALIBRATION / name).read_bytes() for name in ("priors.toml", "effects.json"))
    return hashlib.sha256(data).hexdigest()


def read_site(path: Path) -> Site:
    """A site calibration. Raises InputError where it cannot be read or belongs to another shipped calibration."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no such site calibration: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read the site calibration {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a site calibration: {error}") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise InputError(f'{path} is not a site calibration: no "format": "{FORMAT}" in it')
    if table.get("shipped") != shipped_id():
        raise InputError(f"{path} was made beside another shipped calibration: {MADE_ANEW}")
    try:
        return Site(str(path), {_key(entry): _terms(str(path), entry) for entry in table["deployments"]})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error}): {MADE_ANEW}") from None


def _key(entry: dict[str, Any]) -> tuple[str | int, ...]:
    return tuple(entry["deployment"][name] for name in IDENTITY)


def _terms(file: str, entry: dict[str, Any]) -> SiteTerms:
    strange = sorted(set(entry["effects"]) - set(NAMES))
    if strange:
        raise ValueError(f"there is no term {strange[0]}")
    shifts = tuple((name, float(shift)) for name, shift in sorted(entry["effects"].items()))
    bounds = tuple((name, float(b["low"]), float(b["high"])) for name, b in sorted(entry["intervals"].items()))
    return SiteTerms(file, len(entry["points"]), shifts, bounds)
