"""The command line: one module per verb, thin, heavy imports inside the verb."""
