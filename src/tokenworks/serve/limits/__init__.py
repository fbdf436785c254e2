"""How fast callers may ask and what they may spend: rates, and budgets by reservation that never overrun."""
