"""A client of the agent lifecycle API: models generated from openapi.json, and a thin typed layer over httpx."""

from __future__ import annotations

from agent_lifecycle_client.client import ApiError, Client, RunNotAnswered
from agent_lifecycle_client.events import Event
from agent_lifecycle_client.models import BatchView, RunView, ScheduleView

__all__ = ["ApiError", "BatchView", "Client", "Event", "RunNotAnswered", "RunView", "ScheduleView"]
