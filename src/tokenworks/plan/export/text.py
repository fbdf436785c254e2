"""Bytes of the files: YAML and shell scripts, the same for the same factory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from tokenworks.plan.export.record import Setting, quoted

WIDTH = 1_000_000  # no folding: a folded line of JSON is hard to read and to search


def yaml_bytes(documents: Sequence[Any], comments: Iterable[str] = ()) -> bytes:
    """One or more YAML documents under a comment. Keys stay in the order given."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comments)
    body = yaml.dump_all(
        documents, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=WIDTH, explicit_start=len(documents) > 1
    )
    return (head + body).encode()


def script_bytes(words: list[str], comments: Iterable[str] = ()) -> bytes:
    """A POSIX shell script that runs one command, one flag with its values a line."""
    lines, line = [], ""
    for word in quoted(words):
        if word.startswith("--") and line:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    head = "".join(f"# {text}".rstrip() + "\n" for text in comments)
    body = " \\\n  ".join([*lines, line, '"$@"'])
    return f"#!/bin/sh\n{head}exec {body}\n".encode()


def comments(title: str, settings: Iterable[Setting]) -> list[str]:
    """The head of a file: what it is, and each setting that it does not say."""
    lines = [title]
    missing = [s for s in settings if s.why]
    if missing:
        lines.append("Settings of the factory that this file does not say:")
    for s in missing:
        place = f"{s.service} {s.role}" if s.role != "serve" else s.service
        lines.append(f"  {place}: {s.name} = {s.value}: {s.why}")
    return [part for line in lines for part in line.splitlines()]


class _Plain(yaml.SafeDumper):
    """Without anchors: two equal parts are written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _lines(dumper: _Plain, text: str) -> yaml.ScalarNode:
    """Text of several lines stands as it is, line by line."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _lines)


def mapping(words: Sequence[str]) -> dict[str, Any]:
    """Flags and their values as the mapping that an engine's --config reads; a flag without a value is true."""
    found: dict[str, Any] = {}
    for i, word in enumerate(words):
        if word.startswith("--"):
            follows = words[i + 1] if i + 1 < len(words) else "--"
            found[word.removeprefix("--")] = True if follows.startswith("--") else _number(follows)
    return found


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
