"""The wide pass of the search: every kind of replica at every batch, in closed form, at tens of thousands a second."""

from tokenworks.plan.wide.steady import Wide, wide

__all__ = ["Wide", "wide"]
