"""Real traffic replayed in the twin, and both laid side by side."""
