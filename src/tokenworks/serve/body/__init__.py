"""What the gateway reads and changes in bodies: spliced requests, events of streams, usage."""
