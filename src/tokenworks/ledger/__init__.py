"""Append-only events, each exactly once for ever: durable when acknowledged, tamper-evident, sealed into segments."""

from tokenworks.ledger.group import GroupCommit, Heard, fulfil
from tokenworks.ledger.ledger import Ledger
from tokenworks.ledger.receipt import Receipt

__all__ = ["GroupCommit", "Heard", "Ledger", "Receipt", "fulfil"]
