"""Several factories or results side by side: what differs, and which differences make the figures differ."""
