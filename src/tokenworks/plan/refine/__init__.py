"""Settings around the best fleets, tried in the twin: what the wide pass does not search."""
