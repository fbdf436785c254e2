"""vLLM: the request log of its API server, and lines of JSON with its answers' usage block.

What the log really holds: with `--enable-log-requests` a line "Received request ID: params …" (no counts; the prompt's
token ids only at DEBUG), with `--enable-log-outputs` lines "Generated response ID: …, output_token_ids: […]", one a choice,
or one a delta of a stream. No model, no year, no cached tokens. So counts are lengths of logged lists and marked
"estimate" (`--max-log-len` cuts the lists), a request without an answer in the log is "missing" and never 0, and a stream
that does not end is "partial". The usage block of an answer is OpenAI's; it divides the input only with
`--enable-prompt-tokens-details`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tokenworks.events.ledger_events import AnyEvent, UsageEvent
from tokenworks.ledger.ingest import openai
from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.ledger.ingest.identity import Answer, said, usage_event
from tokenworks.ledger.ingest.native import check
from tokenworks.ledger.ingest.records import Context, RefusedError, Rejected, decode, mapping, rejected, text_of

LINE = re.compile(r"^(?:\([^)]*\) )?(?:[A-Z]+ (?P<time>\d\d-\d\d \d\d:\d\d:\d\d) \[?[^\]]*\] )?(?P<message>.*)$", re.S)
ASKED = re.compile(r"^Received request (?P<id>\S+): ")
DETAILS = re.compile(r"^Request (?P<id>\S+) details: ")
PROMPT = re.compile(r"prompt_token_ids: \[(?P<ids>[\d, ]*)\]")
MADE = re.compile(
    r"^Generated response (?P<id>\S+)(?: \(streaming (?P<part>delta|complete)\))?: output: .*, "
    r"output_token_ids: (?P<ids>None|\[[\d, ]*\]), finish_reason: (?P<reason>.*?)\.?$",
    re.S,
)
BROKEN = re.compile(r"^(?:Aborted request (?P<id>\S+?)|Request (?P<other>\S+) (?:aborted|failed)\b.*?)\.?$")


@dataclass
class Seen:
    """What the log has said of one request so far."""

    line: int
    time: str | None = None
    prompt: int | None = None
    made: int | None = None
    ended: bool = False
    broken: bool = False
    lines: list[str] = field(default_factory=list)


def parse(lines: Iterable[str | bytes], context: Context) -> Iterator[AnyEvent | Rejected]:
    """Events in the order of the log's requests. Lines about no request are rejected as "unrelated"."""
    requests: dict[str, Seen] = {}
    for number, line in enumerate(lines, 1):
        try:
            text = text_of(line)
            if text.startswith("{"):
                yield from _answer_lines(text, context)
            elif text:
                _take(text, number, requests)
        except RefusedError as why:
            yield rejected(number, line if isinstance(line, str) else line.decode(errors="replace"), why)
    for name, seen in requests.items():
        try:
            event = _event(name, seen, context)
            check(event, context)
            yield event
        except RefusedError as why:
            yield rejected(seen.line, "\n".join(seen.lines), why)


def _answer_lines(text: str, context: Context) -> Iterator[AnyEvent]:
    for event in list(openai.read(mapping(decode(text), "the line"), text, context)):
        check(event, context)
        yield _as_engine(event) if isinstance(event, UsageEvent) else event


def _as_engine(event: UsageEvent) -> UsageEvent:
    from msgspec.structs import replace

    return replace(
        event,
        source="vllm" if event.source == "openai" else event.source,
        provider="vllm" if event.provider == "openai" else event.provider,
        usage_source="engine" if event.usage_source == "provider" else event.usage_source,
    )


def _take(text: str, number: int, requests: dict[str, Seen]) -> None:
    found = LINE.match(text)
    assert found is not None
    message = found["message"]
    for pattern, taker in ((ASKED, _asked), (DETAILS, _asked), (MADE, _made), (BROKEN, _broken)):
        if match := pattern.match(message):
            groups = match.groupdict()
            seen = requests.setdefault(groups["id"] or groups["other"], Seen(number))
            seen.time = seen.time or found["time"]
            if groups.get("part") != "delta":
                seen.lines.append(text)
            taker(seen, message, match)
            return
    raise RefusedError("a log line about no request", "unrelated")


def _asked(seen: Seen, message: str, match: re.Match[str]) -> None:
    """The last list counts: a prompt's text may hold such words itself, and stands before it."""
    if found := PROMPT.findall(message):
        seen.prompt = _length(found[-1])


def _made(seen: Seen, message: str, match: re.Match[str]) -> None:
    if match["ids"] != "None":
        seen.made = (seen.made or 0) + _length(match["ids"].strip("[]"))
    seen.ended = seen.ended or match["part"] != "delta" or match["reason"] != "None"
    seen.broken = seen.broken or match["reason"] in ("abort", "error")


def _broken(seen: Seen, message: str, match: re.Match[str]) -> None:
    seen.broken = True


def _length(ids: str) -> int:
    return len(ids.split(",")) if ids.strip() else 0


def _event(name: str, seen: Seen, context: Context) -> UsageEvent:
    counted = seen.prompt is not None or seen.made is not None
    answer = Answer(
        id=name,
        model=context.model,
        operation="chat" if name.startswith("chatcmpl") else "text_completion",
        time=_time(seen, context),
        buckets=Buckets(seen.prompt, None, None, seen.made, None, None) if counted and seen.made is not None else None,
        aborted=seen.broken or not seen.ended,
        source_of_usage="estimate" if counted else "engine",
    )
    return usage_event(answer, said({}, {}), {}, "\n".join(seen.lines), context, "vllm")


def _time(seen: Seen, context: Context) -> str | None:
    """The log prints no year and no zone: the year is the context's, the zone UTC."""
    if seen.time is None:
        return None
    if context.year is None:
        raise RefusedError("the log prints no year: the context must name it")
    return f"{context.year}-{seen.time.replace(' ', 'T')}Z"
