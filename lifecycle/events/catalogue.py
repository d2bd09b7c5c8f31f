"""Every event there is: its name, when it happens, and its data. docs/events.md shows this table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from kernel.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event.

    Attributes:
        says: When it happens.
        data: What its data holds, by field; `at`, when it happened, goes without saying.
        everywhere: Whether the workspace's stream has it, too, and not only its session's.
    """

    says: str
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    everywhere: bool = True


_RUN = {"run_id": "the run"}
_ATTEMPT = _RUN | {"attempt": "number of the attempt"}
_CODE = {"code": "stable code of the failure, where there is one"}

CATALOGUE: Mapping[str, Kind] = MappingProxyType(
    {
        "session.state_changed": Kind(
            "A session is started, active, paused, waiting or ended",
            {"state": "the new state", "reason": "why, where there is a reason"},
        ),
        "run.queued": Kind(
            "A run was accepted, or put back on the queue", _RUN | {"redriven": "how often it was redriven, if it was"}
        ),
        "run.waiting": Kind("A run is kept until its session goes on", _RUN | {"reason": "what it waits for"}),
        "run.stage": Kind("A run has come to another stage", _ATTEMPT | {"stage": "the stage"} | _CODE),
        "run.retrying": Kind("An attempt failed and the run is queued for another", _ATTEMPT | _CODE),
        "run.cancel_requested": Kind("A running run is to be cancelled", _RUN),
        "run.delta": Kind(
            "A streamed run's text goes on",
            _ATTEMPT | {"offset": "characters of the text before it", "text": "what follows them"},
            everywhere=False,
        ),
        "run.stream_ended": Kind(
            "A streamed run's text is complete, or was cut off", _ATTEMPT | {"outcome": "how the stream ended"} | _CODE
        ),
        "run.history_compacted": Kind(
            "A model was told less than the whole history", _ATTEMPT | {"told": "messages told", "of": "messages there"}
        ),
        "run.evaluated": Kind("A judge has scored an answer", _RUN),
    }
)


def in_workspace_stream(name: str) -> bool:
    """Return whether events of this name are in the workspace's stream."""
    kind = CATALOGUE.get(name)
    return kind is None or kind.everywhere


def chosen_names(text: str) -> frozenset[str]:
    """Return the names that a filter like `run.stage,agent.*` chooses.

    Raises:
        InvalidInput: A part of it chooses nothing.
    """
    chosen: set[str] = set()
    for part in text.split(","):
        found = _matching(part.strip())
        if not found:
            rule = "names of events, or like run.*, separated by commas"
            raise InvalidInput(f"'names' takes {rule}.", code="invalid_event_name", fields={"names": rule})
        chosen.update(found)
    return frozenset(chosen)


def _matching(pattern: str) -> Sequence[str]:
    if pattern.endswith(".*"):
        return [name for name in CATALOGUE if name.startswith(pattern[:-1])]
    return [pattern] if pattern in CATALOGUE else []
