"""Storage of templates, personalities, capabilities, overrides, teams and workflows, with their versions.

Table `configuration`, partition = workspace. Row `{kind}!{name}` is the current item, guarded by its ETag; row
`history!{kind}!{name}!{version}` is one version of it, written in the same transaction and never changed. A deleted
item's row stays, so that version numbers are not used again.

Built-in templates, personalities and capabilities come from the files in `presets/`. A workspace can store its own item
under the same name; deleting that brings the built-in one back.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.codec import readable, stored_model
from kernel.errors import NotFound, TooLarge
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import check_match, write_row
from kernel.tables import Insert, Row, RowTooLarge, Span, Tables, first_rows
from lifecycle.configuration.kinds import CONTENT, STORED, Kind, Ref, StoredContent

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.configuration.layers import Content

_FOLDERS = {Kind.TEMPLATE: "templates", Kind.PERSONALITY: "personalities", Kind.CAPABILITY: "capabilities"}


@cache
def preset_names(kind: Kind) -> Sequence[str]:
    """Return the names of the built-in items of a kind, sorted."""
    folder = _FOLDERS.get(kind)
    return sorted(path.stem for path in _path(folder).glob("*.yaml")) if folder else ()


@cache
def preset(ref: Ref) -> Content | None:
    """Return the built-in item; None if there is none of that name."""
    if ref.name not in preset_names(ref.kind):
        return None
    import yaml  # noqa: PLC0415 - cold start: most functions need none

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast, where libyaml is available
    text = (_path(_FOLDERS[ref.kind]) / f"{ref.name}.yaml").read_text(encoding="utf-8")
    return CONTENT[ref.kind].model_validate(yaml.load(text, loader))  # noqa: S506 - a safe loader


def _path(folder: str) -> Path:
    return Path(__file__).parent / "presets" / folder


TABLE = "configuration"
_NEWEST_FIRST = 10**10


@dataclass(frozen=True, slots=True)
class ConfigurationItem:
    """A named, versioned item, such as a template.

    Attributes:
        workspace: The workspace that it belongs to.
        ref: Its kind and name.
        content: Its content; None if it was deleted or never existed.
        version: Number of its changes, from 1; 0 for a built-in item that the workspace never replaced.
        builtin: Whether it is built in, not the workspace's own.
        updated_at: When this version was stored, aware UTC; None for a built-in item.
        row_etag: The stored row's ETag; empty when there is none.
    """

    workspace: str
    ref: Ref
    content: StoredContent | None
    version: int
    builtin: bool
    updated_at: datetime | None
    row_etag: str = ""

    @property
    def etag(self) -> str:
        """The version, as an HTTP entity tag."""
        return f'"{self.version}"'


Ahead = Callable[[ConfigurationItem], Awaitable[None]]
"""Does what must precede a change, or refuses it, by the item as it is; called again when somebody was faster."""


def unknown(ref: Ref) -> NotFound:
    """Return the error for an item that does not exist."""
    return NotFound(f"There is no {ref.kind.value} {ref.name!r}.", code=f"{ref.kind.value}_not_found")


class ConfigurationStore:
    """Reads and writes items."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def find(self, workspace: str, ref: Ref) -> ConfigurationItem:
        """Return the item; the built-in one where the workspace has none; without content where neither exists."""
        row = await self._tables.get(TABLE, workspace, _key(ref))
        own = _item(ref, row) if row else ConfigurationItem(workspace, ref, None, 0, builtin=False, updated_at=None)
        builtin = preset(ref) if own.content is None else None
        if builtin is None:
            return own
        return ConfigurationItem(
            workspace, ref, builtin, own.version, builtin=True, updated_at=None, row_etag=own.row_etag
        )

    async def get(self, workspace: str, ref: Ref) -> ConfigurationItem:
        """Return the item.

        Raises:
            NotFound: It does not exist.
        """
        item = await self.find(workspace, ref)
        if item.content is None:
            raise unknown(ref)
        return item

    async def list(
        self, workspace: str, kind: Kind, limit: int, after: str | None = None
    ) -> tuple[Sequence[ConfigurationItem], str | None]:
        """Return up to `limit` items by name, and the name to continue after; None at the end."""
        start = after or ""
        own: list[ConfigurationItem] = []
        deleted: set[str] = set()
        shadowed: set[str] = set()
        while True:
            span = Span.prefix(workspace, f"{kind.value}!", after=f"{kind.value}!{start}" if start else None)
            rows = await first_rows(self._tables, TABLE, span, limit + 1)
            found = list(readable(rows, lambda row: _item(Ref(kind, _name(row)), row), kind.value))
            own += [item for item in found if item.content is not None]
            deleted |= {item.ref.name for item in found if item.content is None}
            shadowed |= {_name(row) for row in rows} - deleted
            if len(own) > limit or len(rows) <= limit:
                break
            start = _name(rows[-1])
        builtin = [
            await self.find(workspace, Ref(kind, name))
            if name in deleted
            else ConfigurationItem(
                workspace, Ref(kind, name), preset(Ref(kind, name)), 0, builtin=True, updated_at=None
            )
            for name in preset_names(kind)
            if name > (after or "") and name not in shadowed and (len(own) <= limit or name <= own[-1].ref.name)
        ]
        merged = list(heapq.merge(own, builtin, key=lambda item: item.ref.name))[: limit + 1]
        return merged[:limit], merged[limit - 1].ref.name if len(merged) > limit else None

    async def versions(
        self, workspace: str, ref: Ref, limit: int, before: int | None = None
    ) -> tuple[Sequence[ConfigurationItem], int | None]:
        """Return up to `limit` versions, newest first, and the version to continue before; None at the end."""
        prefix = f"history!{_key(ref)}!"
        after = None if before is None else f"{prefix}{_NEWEST_FIRST - before:010d}"
        rows = await first_rows(self._tables, TABLE, Span.prefix(workspace, prefix, after=after), limit + 1)
        found = [_item(ref, row) for row in rows]
        return found[:limit], found[limit - 1].version if len(found) > limit else None

    async def change(
        self,
        workspace: str,
        ref: Ref,
        content: StoredContent | None,
        if_match: str | None,
        ahead: Ahead | None = None,
    ) -> tuple[ConfigurationItem, ConfigurationItem]:
        """Make the workspace's own item say this, and return it as it was and as it is: the same if it said so already.

        Args:
            workspace: Whose it is.
            ref: What it is.
            content: What it says from now on; None to delete it.
            if_match: What the caller says in `If-Match`.
            ahead: What is done before it is written.

        Raises:
            NotFound: It is to be deleted, and the workspace has none of its own.
            EtagMismatch: It is not as the caller has read it.
            TooLarge: It is more than a row can hold.
        """
        while True:
            current = await self.find(workspace, ref)
            own = current.content is not None and not current.builtin
            if content is None and not own:
                raise unknown(ref)
            check_match(if_match, current.etag if current.content is not None else None)
            if own and current.content == content:
                return current, current
            if ahead is not None:
                await ahead(current)
            written = await self._write(current, content)
            if written is not None:
                return current, written

    async def _write(self, current: ConfigurationItem, content: StoredContent | None) -> ConfigurationItem | None:
        """Write the item's next version and return it; None when somebody else changed it first."""
        ref, version, now = current.ref, current.version + 1, self._clock()
        values = {
            "content": content.model_dump_json() if content is not None else None,
            "version": version,
            "updated_at": now,
        }
        head = Row(current.workspace, _key(ref), values, current.row_etag)
        history = Row(current.workspace, f"history!{_key(ref)}!{_NEWEST_FIRST - version:010d}", values)
        try:
            etag = await write_row(self._tables, TABLE, head, [Insert(history)])
        except RowTooLarge:
            msg = f"The {ref.kind.value} is too large: at most 1 MiB can be stored, of which a character takes 2 bytes."
            raise TooLarge(msg) from None
        if etag is None:
            return None
        return ConfigurationItem(current.workspace, ref, content, version, builtin=False, updated_at=now, row_etag=etag)


def _item(ref: Ref, row: Row) -> ConfigurationItem:
    text = row.text("content")
    content = stored_model(STORED[ref.kind], text, f"{ref.kind.value} {ref.name!r}") if text else None
    updated_at = row.moment("updated_at")
    return ConfigurationItem(
        row.partition, ref, content, row.integer("version"), builtin=False, updated_at=updated_at, row_etag=row.etag
    )


def _name(row: Row) -> str:
    return row.key.partition("!")[2]


def _key(ref: Ref) -> str:
    return f"{ref.kind.value}!{ref.name}"
