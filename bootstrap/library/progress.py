"""What a caller is told while a run goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from kernel.journal import Event
from lifecycle.conversations.run import Stage


@dataclass(frozen=True, slots=True)
class Progress:
    """A run has come to another stage.

    Attributes:
        run_id: The run.
        stage: The stage it entered.
        attempt: The attempt it is at, from 1.
        at: When.
        code: Why it failed, with the stage FAILED; else None.
    """

    run_id: str
    stage: Stage
    attempt: int
    at: datetime
    code: str | None = None


OnProgress = Callable[[Progress], Awaitable[None] | None]
"""Is called for each stage of a run, in order, while the run goes on; an exception of its own ends the call."""


def progress_of(event: Event) -> Progress | None:
    """Return what an event of a run says of its progress; None where it says nothing of it."""
    if event.name != "run.stage":
        return None
    data = event.data
    return Progress(data["run_id"], Stage(data["stage"]), data.get("attempt", 0), event.at, data.get("code"))
