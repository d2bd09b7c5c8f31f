"""History of an agent: its audit trail, earlier declarations, and archived definitions of deleted versions.

Table `agenthistory`, partition `{workspace}!{name}`, each kind newest first:
`audit!{…}` an audit entry · `declared!{…}` an earlier declaration · `archive!{…}` a version's definition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from kernel.codec import JsonCodec, readable
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, Write, first_rows
from lifecycle.registry.audit import AuditEntry
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec

TABLE = "agenthistory"
DECLARATIONS_KEPT = 50
"""How many earlier declarations of an agent are kept."""
ARCHIVED_KEPT = 50
"""How many archived definitions of an agent's deleted versions are kept."""
_NEWEST = 10**10 - 1
_LINE = JsonCodec(AuditEntry)
_VERSION = JsonCodec(ProviderVersion)


@dataclass(frozen=True, slots=True)
class EarlierDeclaration:
    """An earlier declaration of an agent: its revision, its content, and when it was declared."""

    revision: int
    spec: AgentSpec
    declared_at: datetime


@dataclass(frozen=True, slots=True)
class ArchivedVersion:
    """A deleted version and its definition at the provider; None where the provider keeps no definitions."""

    version: ProviderVersion
    definition: Mapping[str, Any] | None


_EARLIER = JsonCodec(EarlierDeclaration)


class AgentHistory:
    """Stores and reads agents' history. All writes are idempotent."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, workspace: str, name: str, lines: Sequence[AuditEntry]) -> None:
        """Add entries to the agent's audit trail."""
        await self._put(workspace, name, [(line_key(line), {"line": _LINE.dump(line)}) for line in lines])

    async def audit(self, workspace: str, name: str, limit: int, after: str | None = None) -> Sequence[AuditEntry]:
        """Return up to `limit` audit entries, newest first, after the key `after`."""
        span = Span.prefix(f"{workspace}!{name}", "audit!", after=f"audit!{after}" if after else None)
        rows = await first_rows(self._tables, TABLE, span, limit)
        return list(readable(rows, lambda row: _LINE.load(row.text("line")), "line of an agent's trail"))

    async def declared(self, workspace: str, name: str, earlier: EarlierDeclaration, line: AuditEntry) -> None:
        """Store a declaration that is about to be replaced, with its audit entry; delete the oldest one."""
        declared = (f"declared!{_NEWEST - earlier.revision:010d}", {"declared": _EARLIER.dump(earlier)})
        await self._put(workspace, name, [declared, (line_key(line), {"line": _LINE.dump(line)})])
        if (outdated := earlier.revision - DECLARATIONS_KEPT) > 0:
            await self._drop(workspace, name, f"declared!{_NEWEST - outdated:010d}")

    async def declarations(self, workspace: str, name: str) -> Sequence[EarlierDeclaration]:
        """Return the earlier declarations, newest first."""
        rows = await self._rows(workspace, name, "declared!", DECLARATIONS_KEPT)
        return list(readable(rows, lambda row: _EARLIER.load(row.text("declared")), "earlier declaration"))

    async def archive(
        self, workspace: str, name: str, version: ProviderVersion, definition: Mapping[str, Any] | None
    ) -> None:
        """Store a version's definition at the provider; delete the oldest ones."""
        key = f"archive!{newest_first(version.created_at, version.provider)}!{version.version}"
        values = {"version": _VERSION.dump(version), "definition": json.dumps(definition)}
        await self._put(workspace, name, [(key, values)])
        for row in (await self._rows(workspace, name, "archive!", ARCHIVED_KEPT + 10))[ARCHIVED_KEPT:]:
            await self._drop(workspace, name, row.key)

    async def archived(self, workspace: str, name: str) -> Sequence[ArchivedVersion]:
        """Return the archived versions, newest first."""
        rows = await self._rows(workspace, name, "archive!", ARCHIVED_KEPT)
        return list(readable(rows, _archived, "archived version"))

    async def _rows(self, workspace: str, name: str, kind: str, limit: int) -> Sequence[Row]:
        return await first_rows(self._tables, TABLE, Span.prefix(f"{workspace}!{name}", kind), limit)

    async def _put(self, workspace: str, name: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        partition = f"{workspace}!{name}"
        writes: dict[str, Write] = {key: Upsert(Row(partition, key, values)) for key, values in rows}
        if writes:
            await self._tables.commit(TABLE, list(writes.values()))

    async def _drop(self, workspace: str, name: str, key: str) -> None:
        with suppress(RowChanged):
            await self._tables.commit(TABLE, [Delete(f"{workspace}!{name}", key)])


def line_key(line: AuditEntry) -> str:
    """Return an entry's key in the audit trail, after the prefix `audit!`."""
    return f"audit!{newest_first(line.at, line.id)}"


def _archived(row: Row) -> ArchivedVersion:
    return ArchivedVersion(_VERSION.load(row.text("version")), json.loads(row.text("definition")))
