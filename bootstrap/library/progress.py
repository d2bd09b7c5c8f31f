"""Progress of a run, as reported to a caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Stage

if TYPE_CHECKING:
    from kernel.journal import Event


@dataclass(frozen=True, slots=True)
class Progress:
    """A run has entered another stage.

    Attributes:
        run_id: The run.
        stage: The stage it entered.
        attempt: The attempt, from 1.
        at: When, aware UTC.
        code: The error code, with the stage FAILED; else None.
    """

    run_id: str
    stage: Stage
    attempt: int
    at: datetime
    code: str | None = None


OnProgress = Callable[[Progress], Awaitable[None] | None]
"""Called for each stage of a run, in order, while the run is carried out; an exception it raises ends the call."""


def progress_of(event: Event) -> Progress | None:
    """Return the progress that an event of a run reports; None for other events."""
    if event.name != "run.stage":
        return None
    data = event.data
    return Progress(data["run_id"], Stage(data["stage"]), data.get("attempt", 0), event.at, data.get("code"))
