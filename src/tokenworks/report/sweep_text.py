"""A sweep in the terminal: the answer first, then its points in 80 columns, the best marked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tokenworks.plan.sweep.figures import IMPOSSIBLE, RANKS
from tokenworks.plan.sweep.run import Sweep
from tokenworks.report.figures import seconds, short, usd
from tokenworks.report.text_table import WIDTH, table

MOST_ROWS = 30
NAMES = {"usd_per_mtok": "$/Mtok", "tokens_per_j": "tokens/J", "output_tokens_s": "output tokens/s", "usd_h": "$/h"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def sweep_text(found: Sweep) -> str:
    """Lines of at most 80 columns."""
    lines = [*_wrapped(headline(found)), ""]
    lines += [f"{letter}  {path}" for letter, path in zip(LETTERS, found.axes, strict=False)]
    shown = _shown(found)
    if shown:
        lines += ["", *_table(found, shown)]
    if len(shown) < len(found.built()):
        lines.append(f"The best {len(shown)} of {len(found.built())} by {NAMES[found.by]}; all are in sweep.csv.")
    lines += _impossible(found)
    return "\n".join(lines) + "\n"


def headline(found: Sweep) -> str:
    """What is best, and how much of the sweep is done."""
    done, asked = len(found.rows), found.asked
    head = f"{found.factory}: {done:,} of {asked:,} points" if done < asked else f"{found.factory}: {done:,} points"
    best = found.best
    if best is None:
        return f"{head}; none does what is asked of it."
    said = ", ".join(f"{path} = {value}" for path, value in found.points[best])
    figure = found.rows[best][found.by]
    form = usd(figure) if found.by.startswith("usd") else short(figure)
    which = "Lowest" if not RANKS[found.by] else "Most"
    return f"{head}. {which} {NAMES[found.by]}: {form} with {said} (point {best + 1})."


def worst(found: Sweep, number: int, name: str) -> float | None:
    """The largest of a figure over the services."""
    values = [v for key, v in found.rows[number].items() if key.endswith(f".{name}") and v is not None]
    return max(values, default=None)


def _shown(found: Sweep) -> list[int]:
    """Points of the table in their order; of many the best, those first that do what is asked."""
    built = found.built()
    if len(built) <= MOST_ROWS:
        return built
    sign = -1.0 if RANKS[found.by] else 1.0
    key = lambda i: (found.rows[i]["state"] != "ok", sign * (found.rows[i][found.by] or 0.0), i)  # noqa: E731
    return sorted(built, key=key)[:MOST_ROWS]


def _table(found: Sweep, shown: list[int]) -> list[str]:
    letters = list(LETTERS[: len(found.axes)])
    several = len({key for row in found.rows for key in row if key.endswith(".ttft_p95_s")}) > 1
    times = ["TTFT p95", "TPOT p95"] if not several else ["worst TTFT", "worst TPOT"]
    head = ["", "#", *letters, "$/Mtok", "tok/s", "tok/J", *(times if len(letters) <= 3 else []), "state"]
    rows = []
    for i in shown:
        row = found.rows[i]
        latencies = [_time(worst(found, i, "ttft_p95_s")), _time(worst(found, i, "tpot_p95_s"))]
        figures = [usd(row["usd_per_mtok"]), short(row["output_tokens_s"]), f"{row['tokens_per_j']:.3g}"]
        figures += latencies if len(letters) <= 3 else []
        mark = "→" if i == found.best else ""
        rows.append([mark, str(i + 1), *(value for _, value in found.points[i]), *figures, row["state"]])
    return table(head, rows, left=2 + len(letters), most=max(6, 26 // max(1, len(letters))))


def _time(value: float | None) -> str:
    return "–" if value is None else seconds(value)


def _impossible(found: Sweep) -> Iterator[str]:
    """Points that cannot be built, together by their reason."""
    reasons: dict[str, list[int]] = {}
    for i, row in enumerate(found.rows):
        if row["state"] == IMPOSSIBLE:
            reasons.setdefault(row["reason"], []).append(i + 1)
    for reason, numbers in reasons.items():
        which = ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")
        yield from ("", *_wrapped(f"impossible: {which}: {reason}"))


def _wrapped(said: str) -> list[str]:
    return textwrap.wrap(said, WIDTH, subsequent_indent="  ")
