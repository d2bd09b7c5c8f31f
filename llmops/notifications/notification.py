"""The notification as a value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from kernel.codec import JsonCodec

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to people or other systems about an event.

    Attributes:
        id: Unique in the workspace; the same id is the same notification and is sent once.
        workspace: The workspace whose channels receive it.
        event: An event of `llmops.notifications.catalogue`, to which channels subscribe.
        severity: Severity.
        title: One line.
        text: One or a few sentences, without prompts, answers or secrets.
        facts: Names and values shown beside the text.
        at: When the event happened, aware UTC.
    """

    id: str
    workspace: str
    event: str
    severity: Severity
    title: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    at: datetime = field(kw_only=True)

    @property
    def digest(self) -> str:
        """Identifies it in storage and to receivers: 32 hex digits of a SHA-256 of workspace and id."""
        return hashlib.sha256(f"{self.workspace}\n{self.id}".encode()).hexdigest()[:32]


NOTIFICATION = JsonCodec(Notification)
