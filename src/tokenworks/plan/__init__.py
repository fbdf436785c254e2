"""How the work is cut: which factory for a demand, what a change would give, and why."""
