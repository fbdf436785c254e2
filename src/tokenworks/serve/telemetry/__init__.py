"""What the gateway tells others about its calls: counters for Prometheus, OpenTelemetry, a log of calls."""
