"""Which deployment was measured: from flags or a factory's service, and from what the files say. What nobody says, and
what they say differently, is an error that names file, key and flag."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenworks import catalog
from tokenworks.accuracy.bench_formats.bench import Stated
from tokenworks.errors import InputError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.fleet import Replicas, newest_version

DEGREES = ("tp", "pp", "dp", "ep", "workers")
NAMES = ("accelerator", "model", "engine", "engine_version", "weights", "kv")
NEEDED = {"accelerator": "h100-sxm", "model": "llama-3.1-8b", "engine": "vllm", "weights": "bf16", "tp": "1"}
VARIANTS = re.compile(r"[-_](instruct|it|chat|hf|fp8|fp4|nvfp4|awq|gptq|w4a16|dynamic)$")


@dataclass(frozen=True)
class Measured:
    """What was measured: replicas of one deployment. ``deployment`` None: built from the facts by the engine's rules."""

    facts: Mapping[str, Any]
    deployment: Deployment | None


def flag(name: str) -> str:
    """
    >>> flag("engine_version")
    '--engine-version'
    """
    return f"--{name.replace('_', '-')}"


def of_service(replicas: Replicas, workers: int | None) -> Measured:
    """Of a factory's service, ``workers`` of which were measured together. Raises InputError for a disaggregated one, and
    where it is not known how many."""
    if len(replicas.groups) != 1:
        raise InputError(
            f"service {replicas.service.name} has prefill and decode workers of its own: only aggregated deployments "
            "can be calibrated"
        )
    group = replicas.groups[0]
    if workers is None and group.count > 1:
        raise InputError(
            f"service {replicas.service.name} has {group.count} workers: how many of them did the benchmark address? "
            f"--workers 1 for one, --workers {group.count} for all"
        )
    found = {name: getattr(group.deployment, name) for name in (*NAMES, *DEGREES[:4])}
    return Measured({**found, "workers": workers or 1}, group.deployment)


def of_flags(given: Mapping[str, Any]) -> Measured:
    """Of flags: those that were given, by name. Raises InputError for a name that the catalogue does not know."""
    facts = {name: value for name, value in given.items() if value is not None}
    for name in ("accelerator", "model", "engine"):
        if name in facts:
            facts[name] = catalog.load(f"{name}s", facts[name]).id
    if "weights" in facts:
        catalog.load("precisions", facts["weights"])
    return Measured(facts, None)


def completed(measured: Measured, stated: Mapping[str, Stated], place: str) -> dict[str, Any]:
    """All facts of one run. Raises InputError where one is missing, unknown or contradicted."""
    facts = dict(measured.facts)
    if "speculation" in stated:
        raise InputError(
            f"{place}: {stated['speculation'].key} is {stated['speculation'].value}: speculative decoding needs its "
            "acceptance; describe the service in a factory file and name it with --factory"
        )
    for name, fact in stated.items():
        value = _READ.get(name, _as_it_is)(name, fact, place, name in facts)
        if value is None:
            continue
        if name in facts and _differ(name, value, facts[name]):
            raise InputError(f"{place}: {fact.key} says {value}, but {_said_by(measured, name)} says {facts[name]}")
        facts.setdefault(name, value)
    for name, example in NEEDED.items():
        if name not in facts:
            raise InputError(
                f"{place} does not say the {name}: name it with {flag(name)}, for example {flag(name)} {example}, or "
                "describe the deployment in a factory file and name it with --factory"
            )
    facts.setdefault("engine_version", newest_version(facts["engine"]))
    return {**dict.fromkeys(DEGREES, 1), **facts}


def _said_by(measured: Measured, name: str) -> str:
    return flag(name) if measured.deployment is None else f"the factory ({name})"


def _differ(name: str, value: object, other: object) -> bool:
    if name == "weights":
        return not str(other).startswith(str(value)) and not {str(value), str(other)} <= {"bf16", "fp16"}
    return value != other


def _as_it_is(name: str, fact: Stated, place: str, given: bool) -> object:
    del name, place, given
    return fact.value


def _named(name: str, fact: Stated, place: str, given: bool) -> object:
    """The catalogue's id; where it knows none, None if a flag says it, else an error with the nearest ones."""
    text = str(fact.value)
    for candidate in _candidates(name, text):
        try:
            return catalog.load(f"{name}s", candidate).id
        except catalog.UnknownEntryError:
            continue
    if given:
        return None
    near = ", ".join(catalog.nearest(f"{name}s", _candidates(name, text)[-1]))
    raise InputError(
        f"{place}: {fact.key} is {text!r}, which the catalogue does not know: name the {name} with {flag(name)}"
        f"{f' (nearest: {near})' if near else ''}"
    )


def _candidates(name: str, text: str) -> list[str]:
    """
    >>> _candidates("model", "meta-llama/Llama-3.1-8B-Instruct")
    ['meta-llama/llama-3.1-8b-instruct', 'llama-3.1-8b-instruct', 'llama-3.1-8b']
    """
    text = text.lower().rstrip("/")
    if name == "accelerator":
        return [text, f"{text}-sxm"]
    found = [text, text.rpartition("/")[2]]
    while (shorter := VARIANTS.sub("", found[-1])) != found[-1]:
        found.append(shorter)
    return list(dict.fromkeys(found))


def _version(name: str, fact: Stated, place: str, given: bool) -> object:
    """A version only fills a gap: images and builds write the same one in many ways."""
    del name, place
    match = re.search(r"\d+\.\d+(?:\.\d+)?", str(fact.value))
    return match.group(0) if match and not given else None


_READ: dict[str, Callable[[str, Stated, str, bool], object]] = {
    "accelerator": _named, "model": _named, "engine": _named, "engine_version": _version,
}  # fmt: skip
