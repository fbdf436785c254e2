"""A plan in the terminal: the answer first, at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tokenworks.plan.result import Option, Plan
from tokenworks.report import plan_words as words
from tokenworks.report.bars import Part, labels, stacked
from tokenworks.report.figures import percent, seconds, short, usd

WIDTH = 80


def plan_text(plan: Plan, files: tuple[str, ...] = ()) -> str:
    """The report; no line is longer than `WIDTH` but for paths."""
    lines = [*_wrapped(words.verdict(plan))]
    lines += _best(plan, plan.best) if plan.best else _infeasible(plan)
    lines += ["", *_wrapped(words.how(plan))]
    for note in plan.notes:
        lines += _wrapped(note)
    lines += [f"→ {path}" for path in files]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def explain_text(plan: Plan) -> str:
    """Why: the part of the report that `plan explain` shows, with everything that was tried."""
    lines = [*_wrapped(words.verdict(plan))]
    if plan.best is None:
        return "\n".join([*lines, *_infeasible(plan)]) + "\n"
    for o in plan.tried:
        lines += ["", *_wrapped(o.text), *_wrapped(words.figures_text(o), "  ")]
        lines += [line for m in o.limits for line in _wrapped(f"{m.name}: {words.limit_text(m)}", "  ")]
        for what, measured, limit in o.missed:
            lines += _wrapped(f"misses {what}: {measured:.4g} of {limit:.4g}", "  ")
    return (
        "\n".join(
            [
                *lines,
                *_refined(plan, every=True),
                *_why(plan, plan.best),
                *(f"left out: {why} ({n:,})"[:WIDTH] for why, n in plan.left_out),
            ]
        )
        + "\n"
    )


def _wrapped(said: str, indent: str = "") -> list[str]:
    return textwrap.wrap(said, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ") or [""]


def _best(plan: Plan, best: Option) -> Iterator[str]:
    for s in best.setups:
        yield from _wrapped(f"{s.service}: {s.model}, {s.text}, batch ≤ {s.max_seqs}, {s.settings}", "  ")
        if s.placement:
            yield from _wrapped(s.placement, "    ")
    if said := words.spare_text(best.systems):
        yield from _wrapped(said, "  ")
    yield ""
    yield from _wrapped(words.figures_text(best))
    for m in best.limits:
        yield from _wrapped(f"{m.name}: {words.limit_text(m)}", "  ")
    yield from _wrapped(
        f"latency objectives and load hold in {percent(best.held_share)} of draws of the model's error", "  "
    )
    yield ""
    yield from _dollars(best)
    if plan.front:
        yield from _front(plan)
    yield from _tried(plan)
    yield from _refined(plan, every=False)
    yield from _why(plan, best)


def _dollars(best: Option) -> Iterator[str]:
    parts = [Part(name, best.figures[key], f"{usd(best.figures[key])}/h") for key, name in words.CAUSES.items()
             if best.figures[key] > 0]  # fmt: skip
    yield "".join(block * count for block, count, _ in stacked(parts, WIDTH, ("",) * len(parts)))
    for row in labels(parts, WIDTH):
        yield "  ".join(f"{block} {said}" for block, said, _ in row)


def _front(plan: Plan) -> Iterator[str]:
    names = ", ".join(words.OBJECTIVES[o] for o in plan.objectives)
    yield ""
    if len(plan.front) == 1:
        yield from _wrapped(
            f"Front of {names}: this fleet alone; no other that was rehearsed is better in any of them."
        )
        return
    yield f"Front of {names}:"
    for o in plan.front:
        values = ", ".join(words.objective(name, o.figures[name]) for name in plan.objectives)
        yield from _wrapped(f"{values}: {words.counted(o.systems)}, {o.setups[0].mode}", "  ")


def _tried(plan: Plan) -> Iterator[str]:
    """What was rehearsed, one line each."""
    yield ""
    yield f"{'rehearsed':<34}{'$/Mtok':>8}{'kW':>7}{'tok/J':>7}{'TTFT':>9}{'TPOT':>9}"
    for o in plan.tried:
        name = words.counted(o.systems) + (", apart" if o.setups[0].prefill_workers else "")
        first, second = (m.value for m in o.limits[:2])
        mark = "" if not o.missed else " ✗"
        yield (
            f"{name[:33]:<34}{o.figures['usd_per_mtok']:>8.3f}{o.figures['facility_w'] / 1e3:>7.4g}"
            f"{short(o.figures['tokens_per_joule']):>7}{seconds(first):>9}{seconds(second):>9}{mark}"
        )


def _refined(plan: Plan, every: bool) -> Iterator[str]:
    """Settings that were tried around the best fleets; ``every``: those too that gave nothing."""
    if not plan.refined:
        return
    yield ""
    kept = sum(r.kept for r in plan.refined)
    yield from _wrapped(f"Refined in the twin: {len(plan.refined)} settings tried, {kept or 'none'} kept")
    for r in plan.refined:
        if every or r.kept:
            yield from _wrapped(words.refined_text(plan, r), "  ")


def _why(plan: Plan, best: Option) -> Iterator[str]:
    yield ""
    if plan.runner_up:
        yield from _wrapped(f"Runner-up: {words.dearer(plan, plan.runner_up)}: {plan.runner_up.text}")
    for change in plan.binding:
        yield from _wrapped(f"Binding: {change.name}, {change.text}")
    if not plan.binding:
        yield from _wrapped("Binding: no limit; the answer is set by prices and by whole servers.")
    yield "What would change it:"
    for bar in plan.tornado:
        yield from _wrapped(f"{bar.name}: {words.swing_text(plan, bar)}", "  ")
    for change in plan.changes:
        yield from _wrapped(f"to win {change.gain:.1%}: {change.name}", "  ")


def _infeasible(plan: Plan) -> Iterator[str]:
    if plan.conflict:
        yield from _wrapped(words.clash_text(plan))
    if plan.relaxations:
        yield ""
        yield "Nearest ways out, the cheapest first:"
    for way in plan.relaxations:
        yield from _wrapped(f"{words.way_text(way)}: {way.text}", "  ")
