"""Fleets over time: when to buy, rent, sell or wait, as a mixed-integer programme."""
