"""The changes that declaring a directory's files makes in a workspace. Pure, except for `look`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from lifecycle.cli.command import BadFile
from lifecycle.cli.directory import KINDS, MANAGED_BY, AgentFile, KindFile, OfAgents
from lifecycle.configuration.kinds import Kind
from lifecycle.configuration.layers import AgentConfig

if TYPE_CHECKING:
    from lifecycle.cli.server import Server

_LONGEST_VALUE = 40


class ChangeKind(StrEnum):
    """What happens to a declaration."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Declared:
    """An agent as declared in the workspace, with the declaration's entity tag."""

    name: str
    config: AgentConfig
    etag: str

    @property
    def managed_by(self) -> str | None:
        """The directory that manages it, from its label; None for none."""
        return _managed_by(self.config)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between a file and the workspace.

    Attributes:
        kind: What happens.
        name: Name of the agent, team or workflow.
        details: The changed fields, as lines of text.
        config: The declaration to store; None for a deletion.
        etag: ETag of the declaration that is changed or deleted; empty for a new one.
        resource: `agents`, `teams` or `workflows`.
    """

    kind: ChangeKind
    name: str
    details: Sequence[str] = ()
    config: AgentConfig | OfAgents | None = None
    etag: str = ""
    resource: str = "agents"


def look(server: Server, files: Sequence[AgentFile], managed_by: str | None) -> Mapping[str, Declared]:
    """Return the workspace's declarations of the files' agents, and of other agents with the label `managed_by`.

    Raises:
        CommandFailed: The app cannot be reached, or answers with an error.
    """
    names = [file.name for file in files]
    if managed_by is not None:
        listed = server.every("agents")
        names += [each["name"] for each in listed if each["spec"]["labels"].get(MANAGED_BY) == managed_by]
    found: dict[str, Declared] = {}
    for name in dict.fromkeys(names):
        agent = server.find(f"agents/{name}/effective")
        if agent is not None:
            config = AgentConfig.model_validate(agent["declared"])
            found[name] = Declared(name, config, f'"{agent["revision"]}"')
    return found


def changes_of(
    files: Iterable[AgentFile], declared: Mapping[str, Declared], managed_by: str | None = None
) -> Sequence[Change]:
    """Return the changes of agents, by name.

    Args:
        files: The directory's agents.
        declared: The workspace's agents, by name.
        managed_by: Name of the directory: agents with this label and without a file are deleted. None deletes none.

    Raises:
        BadFile: A file's agent is managed by another directory.
    """
    changes: list[Change] = []
    kept: set[str] = set()
    for file in files:
        kept.add(file.name)
        current = declared.get(file.name)
        if current is None:
            changes.append(Change(ChangeKind.CREATE, file.name, (), file.config))
            continue
        if current.managed_by not in (None, _managed_by(file.config)):
            raise BadFile(file.path, "name", f"{file.name!r} is managed by {current.managed_by!r} (label {MANAGED_BY})")
        details = _details(current.config, file.config)
        kind = ChangeKind.UPDATE if current.config != file.config else ChangeKind.UNCHANGED
        changes.append(Change(kind, file.name, details, file.config, current.etag))
    changes += [
        Change(ChangeKind.DELETE, name, (), None, current.etag)
        for name, current in declared.items()
        if managed_by is not None and current.managed_by == managed_by and name not in kept
    ]
    return sorted(changes, key=lambda change: change.name)


def kind_changes(server: Server, files: Iterable[KindFile]) -> Sequence[Change]:
    """Return the changes of teams or workflows, by name; never a deletion.

    Raises:
        CommandFailed: The app cannot be reached, or answers with an error.
    """
    changes: list[Change] = []
    for file in files:
        resource = f"{file.kind.value}s"
        found = server.find(f"{resource}/{file.name}")
        if found is None:
            changes.append(Change(ChangeKind.CREATE, file.name, (), file.content, resource=resource))
            continue
        current = KINDS[file.kind].model_validate(found["team" if file.kind is Kind.TEAM else "content"])
        kind = ChangeKind.UNCHANGED if current == file.content else ChangeKind.UPDATE
        etag = f'"{found["version"]}"'
        changes.append(Change(kind, file.name, _details(current, file.content), file.content, etag, resource))
    return changes


def _details(before: AgentConfig | OfAgents, after: AgentConfig | OfAgents) -> Sequence[str]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    changed = [
        name for name in dict.fromkeys((*old, *new)) if (name in old, old.get(name)) != (name in new, new.get(name))
    ]
    return [f"{name}: {_shown(name, old)} -> {_shown(name, new)}" for name in changed]


def _shown(name: str, values: Mapping[str, Any]) -> str:
    if name not in values:
        return "(not said)"
    text = json.dumps(values[name], ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"({len(text)} characters)"


def _managed_by(config: AgentConfig) -> str | None:
    labels: Mapping[str, str] = config.given.get("labels") or {}
    return labels.get(MANAGED_BY)
