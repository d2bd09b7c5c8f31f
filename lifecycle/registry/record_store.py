"""Storage of the registry's records: row `{name}!record` in the agent's workspace, written by its actor only."""

from __future__ import annotations

from datetime import datetime

from kernel.codec import JsonCodec
from kernel.tables import Insert, Row, Tables, Write, put
from lifecycle.registry.agent_counts import LifecycleCounts, change, change_row
from lifecycle.registry.record import AgentRecord

TABLE = "agents"
SUFFIX = "!record"
_RECORD = JsonCodec(AgentRecord)


class RecordStore:
    """Reads and writes an agent's record; only its actor may."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._counts = LifecycleCounts(tables)

    async def read(self, workspace: str, name: str) -> tuple[AgentRecord, str] | None:
        """Return the record and its ETag; None if there is none."""
        row = await self._tables.get(TABLE, workspace, name + SUFFIX)
        return (_RECORD.load(row.text("record")), row.etag) if row else None

    async def write(self, record: AgentRecord, etag: str, before: AgentRecord, now: datetime) -> str:
        """Write the record, count the changes since `before`, and return its new ETag.

        An empty `etag` means that there is no row yet.

        Raises:
            RowChanged: The stored record has another ETag.
            RowExists: There is one already.
        """
        values = {
            "record": dump_record(record),
            "state": record.state.value,
            "provider_name": record.version.name if record.version else None,
            "provider_version": record.version.version if record.version else None,
            "provider_id": record.version.id if record.version else None,
        }
        row = Row(record.workspace, record.name + SUFFIX, values, etag)
        writes: list[Write] = [put(row)]
        if counts := change(before if etag else None, record):
            writes.append(Insert(change_row(record.workspace, counts, now)))
            self._counts.fold_soon(record.workspace)
        return (await self._tables.commit(TABLE, writes))[0]


def dump_record(record: AgentRecord) -> str:
    """Return the record as JSON."""
    return _RECORD.dump(record)


def load_record(text: str) -> AgentRecord:
    """Return the record from the JSON that `dump_record` made."""
    return _RECORD.load(text)
