"""Response models of callbacks."""

from __future__ import annotations

from datetime import datetime

from llmops.notifications.delivery_history import DeliveryState
from triggers.http.base_models import Page, View


class CallbackView(View):
    """The latest delivery of a run's callback: `retrying`, `delivered` or `failed` (given up).

    `id` is what the receiver knows it by: `webhook-id`, or the message's MessageId. `target` is a host or a queue. Of
    pushes each is one of its own.
    """

    id: str
    run_id: str
    agent: str
    target: str
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    last_at: datetime | None
    next_at: datetime | None


class CallbackPage(Page[CallbackView]):
    """Callbacks, newest run first."""
