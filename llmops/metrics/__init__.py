"""Metrics: counted in each worker, shared in a table, pushed through OpenTelemetry, shown as Prometheus text."""
