"""The twin: a compiled event kernel on a virtual clock, equal to its slow reference simulator."""
