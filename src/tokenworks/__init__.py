"""Tokenworks: an AI factory in Python. ``load`` a factory file, ``run`` it, look at the result."""
