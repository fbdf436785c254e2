"""Files and folders of results: which client wrote each, what it measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenworks.accuracy.bench_formats.aiperf import is_aiperf, read_aiperf
from tokenworks.accuracy.bench_formats.bench import Bench, Unused
from tokenworks.accuracy.bench_formats.inferencex import is_inferencex, read_inferencex
from tokenworks.accuracy.bench_formats.serving import is_serving, read_serving
from tokenworks.accuracy.bench_formats.window import is_window, read_window
from tokenworks.accuracy.rows import Measurement, read_csv
from tokenworks.errors import InputError

ENDINGS = (".json", ".jsonl", ".csv")
KNOWN = "results of vllm bench serve, SGLang bench_serving, AIPerf, GenAI-Perf, InferenceX, or a CSV of measurements"
READERS = (
    (is_window, read_window),
    (is_aiperf, read_aiperf),
    (is_inferencex, read_inferencex),
    (is_serving, read_serving),
)


@dataclass(frozen=True)
class Source:
    """A file that was read: its name, SHA-256 of its bytes, and what it holds."""

    path: str
    sha256: str
    runs: tuple[Bench, ...]
    rows: tuple[Measurement, ...]  # of a CSV
    unused: tuple[Unused, ...]


def read_results(places: Sequence[str]) -> list[Source]:
    """Every file, and every file of every folder, in order. Raises InputError where a named file is none of `KNOWN`."""
    found: dict[Path, Source] = {}
    for place in map(Path, places):
        files = sorted(p for p in place.rglob("*") if p.suffix in ENDINGS) if place.is_dir() else [place]
        if not files:
            raise InputError(f"{place}: no {', '.join(ENDINGS)} file in this folder")
        for file in files:
            found.setdefault(file.resolve(), _source(file, strict=not place.is_dir()))
    return list(found.values())


def _source(path: Path, strict: bool) -> Source:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    if path.suffix == ".csv":
        return _table(path, digest, strict)
    answers = [_read(place, table) for place, table in _objects(path, data)]
    strangers = [a for a in answers if isinstance(a, Unused) and a.reason == _STRANGE]
    if strict and (strangers or not answers):
        place = strangers[0].place if strangers else str(path)
        raise InputError(f"{place}: {_STRANGE}; known are {KNOWN}")
    runs = tuple(a for a in answers if isinstance(a, Bench))
    unused = [a for a in answers if isinstance(a, Unused) and a not in strangers]
    if strangers:  # of a folder: a line for the file, not for each of its thousands of lines
        unused.append(Unused(str(path), _STRANGE))
    return Source(str(path), digest, runs, (), tuple(unused))


def _table(path: Path, digest: str, strict: bool) -> Source:
    """A CSV of measurements; in a folder others may lie beside, as clients write them, and are named."""
    try:
        return Source(str(path), digest, (), tuple(read_csv(path)), ())
    except InputError:
        if strict:
            raise
        return Source(str(path), digest, (), (), (Unused(str(path), "no table of measurements"),))


_STRANGE = "no results of a benchmark client"


def _read(place: str, table: Any) -> Bench | Unused:
    if isinstance(table, dict):
        for fits, read in READERS:
            if fits(table):
                return read(place, table)
    return Unused(place, _STRANGE)


def _objects(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    """(place, object) of a JSON file, of each entry of a list in it, or of each line of JSON lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text") from None
    try:
        whole = json.loads(text)
    except ValueError as error:
        yield from _lines(path, text, error)
        return
    if isinstance(whole, list):
        yield from ((f"{path}, entry {number}", entry) for number, entry in enumerate(whole, 1))
    else:
        yield str(path), whole


def _lines(path: Path, text: str, error: ValueError) -> Iterator[tuple[str, Any]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise InputError(f"{path} is not JSON: {error}") from None
    for number, line in lines:
        try:
            yield f"{path}:{number}", json.loads(line)
        except ValueError as wrong:
            raise InputError(f"{path}:{number} is not JSON: {wrong}") from None
