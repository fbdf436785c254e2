"""Several gateway processes on one port: a supervisor, one process that owns the ledger's file, frames between them."""
