"""What the gateway says of itself: its API as a document, what is served, how it is steered."""
