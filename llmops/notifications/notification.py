"""What is told, and whom it concerns."""

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
    """Something that people or other systems want to hear of.

    Attributes:
        id: Unique in the workspace; the same id is the same notification and is sent once.
        workspace: Whose channels it goes to.
        event: One of `llmops.notifications.catalogue`, by which channels choose.
        severity: How bad it is.
        title: One line.
        text: One or a few sentences; holds no prompt, answer or secret.
        facts: Names and values to show beside the text.
        at: When it happened, aware UTC.
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
        """What storage and receivers know it by: 32 hex digits of a SHA-256 of workspace and id."""
        return hashlib.sha256(f"{self.workspace}\n{self.id}".encode()).hexdigest()[:32]


NOTIFICATION = JsonCodec(Notification)
