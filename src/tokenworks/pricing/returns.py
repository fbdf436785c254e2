"""What a flow of cash is worth: net present value and the rate of return, by month."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction


def net_present_value(flow: Sequence[Decimal], rate_year: Fraction) -> Fraction:
    """Present value at the begin of the first month; cash comes at the end of each; a twelfth of the rate a month."""
    factor = 1 / (1 + rate_year / 12)
    return sum((Fraction(cash) * factor**n for n, cash in enumerate(flow, 1)), Fraction(0))


def irr_year(flow: Sequence[float]) -> float | None:
    """The yearly rate (twelve times the monthly one) at which the flow is worth nothing, by bisection.

    >>> round(irr_year([-1000.0] + [0.0] * 11 + [1126.825]), 4)  # 1% a month for a year
    0.12
    """

    def worth(rate: float) -> float:
        return sum(cash / (1 + rate) ** n for n, cash in enumerate(flow))

    low, high = -0.99, 833.0
    if not flow or worth(low) * worth(high) > 0 or not any(c < 0 for c in flow) or not any(c > 0 for c in flow):
        return None
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(low) * worth(middle) > 0 else (low, middle)
    return 12 * (low + high) / 2
