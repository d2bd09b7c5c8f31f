"""What an agent's entity keeps between operations."""

from __future__ import annotations

from datetime import UTC, datetime

from lifecycle.registry.actor import ActorState
from lifecycle.registry.record import new_record
from triggers.entities import _dump, _load


def test_a_state_that_cannot_be_read_is_read_from_the_row() -> None:
    """A later version of the app wrote it: an operation must not be lost for that, as the row is what counts."""
    kept = _dump(ActorState(new_record("default", "bot", datetime(2026, 12, 1, tzinfo=UTC)), "etag"))

    assert _load(kept) == ActorState(new_record("default", "bot", datetime(2026, 12, 1, tzinfo=UTC)), "etag")
    assert _load(kept | {"record": '{"v": 999, "value": {}}'}) is None
    assert _load(None) is None
