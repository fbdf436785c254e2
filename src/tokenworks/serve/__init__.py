"""The live gateway: OpenAI-compatible traffic over the factory's own policies, every token metered into the ledger."""
