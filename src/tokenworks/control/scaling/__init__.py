"""Autoscaling as pure functions over arrays: forecasts, sizing by capacity at the objectives, steadiness, power."""
