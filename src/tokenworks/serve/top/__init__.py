"""What a running gateway does just now, read from its metrics page."""
