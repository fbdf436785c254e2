"""What a flow of cash is worth: net present value and the rate of return, by month."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

LOWEST, HIGHEST = -0.99, 833.0  # rates a month between which one is looked for


def net_present_value(flow: Sequence[Decimal], rate_year: Fraction) -> Fraction:
    """Present value at the begin of the first month; cash comes at the end of each; a twelfth of the rate a month."""
    factor = 1 / (1 + rate_year / 12)
    return sum((Fraction(cash) * factor**n for n, cash in enumerate(flow, 1)), Fraction(0))


def irr_year(flow: Sequence[float]) -> float | None:
    """The yearly rate (twelve times the monthly one) at which the flow is worth nothing, by bisection.

    >>> round(irr_year([-1000.0] + [0.0] * 11 + [1126.825]), 4)  # 1% a month for a year
    0.12
    """

    some = [n for n, cash in enumerate(flow) if cash]
    flow = flow[some[0] : some[-1] + 1] if some else []
    low, high = LOWEST, HIGHEST
    if not any(c < 0 for c in flow) or not any(c > 0 for c in flow) or _gains(flow, low) == _gains(flow, high):
        return None
    rising = _gains(flow, low)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _gains(flow, middle) == rising else (low, middle)
    return 12 * (low + high) / 2


def _gains(flow: Sequence[float], rate: float) -> bool:
    """Whether a flow is worth something at a monthly rate. Looked at from its first month where the rate is above 0, from its
    last one below: the sign is the same, and no power of many months leaves the floats."""
    worth, step = 0.0, 1 / (1 + rate) if rate > 0 else 1 + rate
    for cash in reversed(flow) if rate > 0 else flow:
        worth = worth * step + cash
    return worth > 0
