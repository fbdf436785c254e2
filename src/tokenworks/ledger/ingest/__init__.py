"""Foreign usage records become events: one module per format, `parse` to choose among them, `http` to receive them."""
