"""Traces by OpenTelemetry: requests with a trace context, publishes, deliveries, shared fetches."""
