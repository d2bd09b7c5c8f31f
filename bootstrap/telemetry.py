"""Starting telemetry, where the settings configure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.settings import Settings


def start_telemetry(settings: Settings) -> None:
    """Export traces, logs and metrics as configured; without configuration, import nothing and record nothing."""
    endpoint, insights = settings.otlp_endpoint, settings.application_insights.get_secret_value()
    if endpoint or insights:
        from adapters.telemetry import start  # noqa: PLC0415 - 0.2 s of SDK that nobody pays for by default

        start(otlp_endpoint=endpoint, connection_string=insights, content=settings.telemetry_content)
