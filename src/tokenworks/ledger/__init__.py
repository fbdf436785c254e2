"""The ledger: append-only token events, exactly once; what is read into it and what is read out of it."""
