"""Autoscaling on the wall clock: the twin's own decisions, and the fleets that carry them out."""
