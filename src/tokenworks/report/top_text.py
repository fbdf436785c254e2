"""A running gateway in a terminal of 80 columns: one block of lines that replaces itself."""

from __future__ import annotations

from collections.abc import Iterator

from tokenworks.report.figures import per_second, seconds, short, unit, usd
from tokenworks.report.text_table import WIDTH, clipped, table
from tokenworks.serve.top.window import Now, ServiceNow, Worker

SERVICES = ("service", "req/s", "bad/s", "active", "queue", "out/s", "TTFT p50, p95", "TPOT p50, p95")
MOST_WORKERS = 8  # of a service; of more the busiest and those that are down
BAR = 20  # characters of a worker's bar


def top_text(found: Now, place: str, taf: str = "") -> str:
    """Totals, a row for each service, a bar for each worker. ``taf``: what the ledger says of the last hour."""
    lines = [clipped(part, WIDTH) for part in _head(found, place, taf)]
    lines += ["", *table(SERVICES, [_row(s) for s in found.services], 1, most=16, first=12)]
    for service in found.services:
        lines += _workers(service)
    lines += [clipped(part, WIDTH) for part in _power(found)]
    if any(s.refused_s + s.left_s for s in found.services):
        lines += ["", "bad: " + "; ".join(_bad(s) for s in found.services if s.refused_s + s.left_s)]
    if found.lost:
        lines += ["", f"! the ledger did not take {found.lost:,} events: see the gateway's log"]
    return "\n".join(lines) + "\n"


def _head(found: Now, place: str, taf: str) -> Iterator[str]:
    over = f"the last {seconds(found.seconds)}" if found.seconds else "just begun"
    used = f", {unit(found.joules, 'J')} so far" if found.joules is not None else ""
    emulated = f", emulated {short(found.speed)}×" if found.speed != 1 else ""
    yield f"{place}, {over}{used}{emulated}"
    parts = [f"{per_second(found.output_tokens_s)} output tokens/s"]
    if found.watts is not None:
        parts.append(unit(found.watts, "W"))
    if found.tokens_per_joule is not None:
        parts.append(f"{short(found.tokens_per_joule)} tokens/J")
    if found.usd_h is not None:
        parts.append(f"{usd(found.usd_h)}/h")
    if found.usd_per_mtok is not None:
        parts.append(f"{usd(found.usd_per_mtok)}/Mtok")
    yield ", ".join(parts + ([taf] if taf else []))


def _row(s: ServiceNow) -> tuple[str, ...]:
    return (
        s.name, per_second(s.requests_s), per_second(s.refused_s + s.left_s), f"{s.active:,}",
        "–" if s.waiting is None else f"{s.waiting:,}", per_second(s.output_tokens_s),
        _pair(s.ttft_p50_s, s.ttft_p95_s), _pair(s.tpot_p50_s, s.tpot_p95_s),
    )  # fmt: skip


def _power(found: Now) -> Iterator[str]:
    """The budget, and the replicas that it holds back."""
    steered = [(s.name, s.steered) for s in found.services if s.steered]
    limits = [of.budget_w for _, of in steered if of.budget_w is not None]
    if not limits:
        return
    held = [f"{name} {of.wanted - of.granted} of {of.wanted}" for name, of in steered if of.granted < of.wanted]
    yield ""
    yield f"power budget {unit(min(limits), 'W')}: " + (
        f"holds back replicas of {', '.join(held)}" if held else "feeds all replicas that the load wants"
    )


def _bad(s: ServiceNow) -> str:
    parts = (("refused", s.refused_s), ("given up by callers", s.left_s))
    return f"{s.name} " + ", ".join(f"{per_second(rate)}/s {word}" for word, rate in parts if rate)


def _pair(half: float | None, tail: float | None) -> str:
    return "–" if half is None or tail is None else f"{_short(half)}, {_short(tail)}"


def _short(value_s: float) -> str:
    return seconds(float(f"{value_s:.2g}")).replace(" ", "")


def _workers(service: ServiceNow) -> list[str]:
    """The busiest, those that are down before all."""
    order = sorted(service.workers, key=lambda w: (w.up, -w.outstanding))
    shown = order[:MOST_WORKERS]
    most = max([w.outstanding for w in service.workers], default=0)
    lines = ["", f"{clipped(service.name, 40)}: {len(order):,} worker{'s' if len(order) != 1 else ''}"]
    lines += [_worker(w, most) for w in sorted(shown, key=lambda w: (not w.name.isdigit(), len(w.name), w.name))]
    if len(order) > len(shown):
        lines.append(f"  … and {len(order) - len(shown):,} more with no more to do than these")
    return lines


def _worker(w: Worker, most: int) -> str:
    name = clipped(w.name, 20)
    if not w.up:
        return f"  {name:>4}  down"
    bar = "█" * round(BAR * w.outstanding / most) if most else ""
    watts = f"  {unit(w.watts, 'W')}" if w.watts is not None else ""
    return f"  {name:>4}  {bar:<{BAR}} {w.outstanding:,}{watts}"
