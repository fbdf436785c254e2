"""Rows of a trace file, checked one by one: what is wrong is said with its line, the first five at once."""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tokenworks.errors import TraceError
from tokenworks.workload.trace import MOONCAKE_BLOCK, Columns
from tokenworks.workload.trace_hashes import hash_ids

Record = Mapping[str, Any]
NEEDED = {
    "arrival_s": ("arrival_s", "timestamp", "time", "arrived_at"),
    "input_tokens": ("input_tokens", "contexttokens", "input_length", "request tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "generatedtokens", "output_length", "response tokens", "completion_tokens"),
}
OPTIONAL = {
    "session": ("session", "session_id", "session id", "conversation_id"),
    "tenant": ("tenant", "tenant_id", "user", "user_id", "client"),
    "hash_ids": ("hash_ids",),
    "hash_block_tokens": ("hash_block_tokens", "block_size"),
    "log_type": ("log type",),
}
MOST_TOKENS = 10**8
MOST_TIME_S = 1e11  # more is no time in seconds; dates are counted from 1970
MOST_DAYS = 250  # from the first row to the last: with a run of two years, time stays within 63 bits of 10 ps
MOST_SAID = 5


class Findings:
    """What is wrong with a file. Gives up after the fifth."""

    def __init__(self, path: Path):
        self.path, self.messages = path, list[str]()

    def add(self, line: int, message: str) -> None:
        self.messages.append(f"{self.path}:{line}: {message}")
        if len(self.messages) == MOST_SAID:
            raise TraceError("\n".join([*self.messages, f"the first {MOST_SAID} errors; there may be more"]))

    def close(self) -> None:
        if self.messages:
            raise TraceError("\n".join(self.messages))


def match(path: Path, header: Sequence[str], line: int = 1) -> dict[str, str]:
    """The file's own names of our columns. Raises TraceError for each that is needed and not there."""
    found, findings = dict[str, str](), Findings(path)
    if len(header) == 1 and (other := next((c for c in ";\t|" if c in header[0]), None)):
        raise TraceError(f"{path}:{line}: columns are separated by {other!r}: write commas between them")
    for wanted, known in (NEEDED | OPTIONAL).items():
        column = next((name for name in header if name.strip().lower() in known), None)
        if column is not None:
            found[wanted] = column
        elif wanted in NEEDED:
            near = difflib.get_close_matches(wanted, header, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            findings.add(line, f"no column {wanted!r} among {', '.join(header) or 'no columns'}.{hint}")
    findings.close()
    return found


@dataclass
class Names:
    """Numbers for names in order of their first appearance."""

    known: dict[str, int] = field(default_factory=dict)

    def number(self, name: Any) -> int:
        text = "" if name is None or name != name else str(name).strip()
        return self.known.setdefault(text, len(self.known)) if text not in ("", "-1") else -1


class Rows:
    """Collects the rows of one file. Times are multiplied by ``unit_s`` unless they are dates."""

    def __init__(self, path: Path, names: Mapping[str, str], unit_s: float = 1.0):
        self.names, self.unit_s, self.findings, self.path = names, unit_s, Findings(path), path
        self.rows: list[tuple[float, int, int, int, int, int]] = []
        self.hashes, self.ids = list[int](), Names()
        self.sessions, self.tenants = Names(), Names()
        self.sizes, self.left_out = set[int](), 0
        self.first_s, self.last_s = math.inf, -math.inf

    def read(self, records: Iterable[tuple[int, Record]]) -> Columns:
        for line, record in records:
            try:
                self._row(line, record)
            except ValueError as error:
                self.findings.add(line, str(error))
        self.findings.close()
        if not self.rows:
            raise TraceError(f"{self.path}: the trace holds no requests")
        return self._columns()

    def _row(self, line: int, record: Record) -> None:
        name, unit = self.names["arrival_s"], self.unit_s
        time = self._within(_time(name, record.get(name), unit), name, record.get(name))
        prompt, answer = (_tokens(self.names[key], record.get(self.names[key]), low) for key, low in LOWEST)
        if "log_type" in self.names and answer == 0:
            self.left_out += 1  # BurstGPT's failures: nobody answered
            return
        ids = hash_ids(self._optional(record, "hash_ids"))
        size = self._optional(record, "hash_block_tokens")
        if ids and size is not None:
            self.sizes.add(_tokens(self.names["hash_block_tokens"], size, 1))
        self.hashes.extend(self.ids.number(i) for i in ids)
        session, tenant = (self._optional(record, key) for key in ("session", "tenant"))
        self.rows.append((time, prompt, answer, len(ids), self.sessions.number(session), self.tenants.number(tenant)))

    def _within(self, time_s: float, name: str, text: Any) -> float:
        first, last = min(self.first_s, time_s), max(self.last_s, time_s)
        days = (last - first) / 86_400
        if days > MOST_DAYS:
            raise ValueError(f"{name} is {text}, {days:,.0f} days from other rows; a trace lasts {MOST_DAYS} at most")
        self.first_s, self.last_s = first, last
        return time_s

    def _optional(self, record: Record, key: str) -> Any:
        return record.get(self.names[key]) if key in self.names else None

    def _columns(self) -> Columns:
        if len(self.sizes) > 1:
            raise TraceError(f"{self.path}: hashes of one trace must cover the same number of tokens, not {self.sizes}")
        columns = [np.array(column) for column in zip(*self.rows, strict=True)]
        time, inputs, outputs, blocks, session, tenant = columns
        size = next(iter(self.sizes), MOONCAKE_BLOCK)
        hashes = np.array(self.hashes, np.int64)
        return Columns(time.astype(float), inputs, outputs, blocks, hashes, size, session, tenant, self.left_out)


LOWEST = (("input_tokens", 1), ("output_tokens", 0))


def number(key: str, text: Any, lowest: float) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{key} is {text!r}, not a number") from None
    if not math.isfinite(value) or value < lowest:
        raise ValueError(f"{key} is {text}; it must be a finite number of at least {lowest:g}")
    return value


def _tokens(key: str, text: Any, lowest: int) -> int:
    value = number(key, text, lowest)
    if value != int(value) or value > MOST_TOKENS:
        raise ValueError(f"{key} is {text}; it must be a whole number of at most {MOST_TOKENS:,} tokens")
    return int(value)


def _time(key: str, text: Any, unit_s: float) -> float:
    """Seconds; date-times (Azure: without a zone, or with one) count from 1970."""
    if isinstance(text, dt.datetime):
        stamp = text
    elif isinstance(text, str) and (":" in text or re.match(r"\s*\d{4}-\d", text)):
        try:
            stamp = dt.datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{key} is {text!r}, neither a number nor a date and time") from None
    else:
        time_s = number(key, text, 0) * unit_s
        if time_s > MOST_TIME_S:
            raise ValueError(f"{key} is {text}; in {'milliseconds' if unit_s < 1 else 'seconds'} that is no time")
        return time_s
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=dt.UTC)).timestamp()
