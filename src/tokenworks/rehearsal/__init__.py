"""Runs factories: the room where file, physics, requests, twin and books meet."""

from tokenworks.rehearsal.run import Rehearsal, rehearse, run_factory

__all__ = ["Rehearsal", "rehearse", "run_factory"]
