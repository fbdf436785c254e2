"""Providers' bills: exports of their usage and costs as rows, and how they differ from the ledger."""
