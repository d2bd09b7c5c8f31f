"""Metrics: what is counted, shared between workers, pushed through OpenTelemetry and shown as Prometheus text."""
