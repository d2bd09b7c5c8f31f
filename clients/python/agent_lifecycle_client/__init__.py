"""A client of the agent lifecycle API: models generated from openapi.json, and a thin typed layer over httpx."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from agent_lifecycle_client.client import AnswerChanged, ApiError, Client, RunNotAnswered
from agent_lifecycle_client.events import Event

if TYPE_CHECKING:
    from agent_lifecycle_client.models import BatchView, RunView, ScheduleView

__all__ = ["AnswerChanged", "ApiError", "BatchView", "Client", "Event", "RunNotAnswered", "RunView", "ScheduleView"]


def __getattr__(name: str) -> object:
    if name in __all__:  # a model, see client.py
        return getattr(import_module(f"{__name__}.models"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
