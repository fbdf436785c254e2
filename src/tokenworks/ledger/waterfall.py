"""Where amplification comes from: every processed token under one cause. Causes are disjoint and sum to the total.

Rules, the first that fits a token decides:

- corrections: rows that take back a call of another period (they subtract);
- retries: all tokens of failed attempts; of calls whose purpose is ``retry``, all but visible output;
- visible: output of final calls that the user saw (where a run marks none, the last call's);
- sub-agents: all tokens of calls that a sub-agent made (its run is not the root run);
- reading again: input of the task's own calls that the run had seen before: what came from a cache, and what was sent
  again, up to the longest input + answer of an earlier call;
- tools: calls of tools that the model wrote, and input seen for the first time after a call that used tools (or in a
  call whose purpose is ``tool``): the tools' results;
- reasoning: reasoning, and text of calls that are not final: plans, drafts, checks;
- prompt: what is left, input seen for the first time: the task itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import ConservationError, InputError
from tokenworks.ledger.calls import FINAL, GOT, ORDER, READ, TOKENS, opened
from tokenworks.ledger.units import RUNS, Period, check_keys, key_columns

CAUSES = ("visible", "prompt", "reading_again", "reasoning", "tools", "sub_agents", "retries", "corrections")

_RETRY = "coalesce(purpose, '') = 'retry'"
_PLAIN = f"(top AND {GOT} AND NOT {_RETRY})"
_BEFORE = f"PARTITION BY tenant, root, {_PLAIN} ORDER BY time_us, coalesce(seq, 0)"
_ANSWER = "coalesce(output_visible, 0) + coalesce(output_tool, 0)"
# Of each standing call: what the run had seen before it, whether tools stand between, and what its user saw of it.
_MARKED = f"""SELECT tenant, root, model, sign, top, purpose, output_reasoning, output_tool, output_visible, failed,
    {TOKENS} AS tokens, {READ} AS told, coalesce(cache_read, 0) AS read, {GOT} AS got,
    coalesce(max({READ} + {_ANSWER}) OVER ({_BEFORE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS seen,
    coalesce(purpose = 'tool', false) OR coalesce(lag(output_tool > 0 OR coalesce(purpose = 'tool', false))
        OVER ({_BEFORE}), false) AS after_tools,
    CASE WHEN {FINAL} OR (finals = 0 AND top AND {GOT} AND {ORDER} = last_order)
        THEN coalesce(output_visible, 0) ELSE 0 END AS shown, agent_of_run AS agent, ended
    FROM calls JOIN (SELECT tenant, root, finals, ended, agent AS agent_of_run, last_order FROM runs)
    USING (tenant, root)"""
_AGAIN = "greatest(read, least(told, seen))"
_OWN = f"sign > 0 AND got AND NOT {_RETRY} AND top"
_PARTS = {
    "visible": "CASE WHEN sign > 0 THEN shown ELSE 0 END",
    "prompt": f"CASE WHEN {_OWN} AND NOT after_tools THEN told - {_AGAIN} ELSE 0 END",
    "reading_again": f"CASE WHEN {_OWN} THEN {_AGAIN} ELSE 0 END",
    "reasoning": f"""CASE WHEN {_OWN} THEN coalesce(output_reasoning, 0) + coalesce(output_visible, 0) - shown
        ELSE 0 END""",
    "tools": f"""CASE WHEN {_OWN} THEN coalesce(output_tool, 0) + CASE WHEN after_tools THEN told - {_AGAIN} ELSE 0 END
        ELSE 0 END""",
    "sub_agents": f"CASE WHEN sign > 0 AND got AND NOT {_RETRY} AND NOT top THEN tokens - shown ELSE 0 END",
    "retries": f"CASE WHEN sign > 0 AND (NOT got OR {_RETRY}) THEN tokens - shown ELSE 0 END",
    "corrections": "CASE WHEN sign < 0 THEN -tokens ELSE 0 END",
}


@dataclass(frozen=True)
class Waterfall:
    """Tokens of a group by cause, in the order of `CAUSES`."""

    key: tuple[str, ...]
    processed_tokens: int
    tokens: dict[str, int]


def waterfall(usage: Any, by: Sequence[str] = (), *, period: Period = "day") -> list[Waterfall]:
    """Rows in the order of their keys, of an Arrow table with USAGE_COLUMNS; ``by`` run, agent, tenant, model, period.

    Raises InputError for a key that is not known, ConservationError where the causes do not sum to the total.
    """
    check_keys(by, period)
    if "call" in by:
        raise InputError("the causes of a call depend on its run: group by run, agent, tenant, model or period")
    link = opened(usage)
    try:
        link.execute(f"CREATE TABLE runs AS {RUNS}")
        return [_row(row, len(by)) for row in link.execute(_query(by, period)).fetchall()]
    finally:
        link.close()


def _query(by: Sequence[str], period: Period) -> str:
    sums = ", ".join(f"sum({part})::BIGINT" for part in _PARTS.values())
    keys = key_columns(by, period)
    order = ", ".join(str(i + 1) for i in range(len(by)))
    grouping = f" GROUP BY {order} ORDER BY {order}" if by else " HAVING count(*) > 0"
    return f"SELECT {keys} sum(sign * tokens)::BIGINT, {sums} FROM ({_MARKED}){grouping}"


def _row(row: tuple[Any, ...], width: int) -> Waterfall:
    total, *parts = row[width:]
    if sum(parts) != total:
        raise ConservationError(f"the causes of {row[:width]} sum to {sum(parts)} tokens, {total} were processed")
    return Waterfall(tuple(row[:width]), total, dict(zip(_PARTS, parts, strict=True)))
