"""What the gateway tells others about its calls, off the way of the calls: OpenTelemetry, a log of calls."""
