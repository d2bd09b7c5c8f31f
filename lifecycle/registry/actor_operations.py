"""Operations of an agent's actor, and their form as input of entity signals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import AwareDatetime, Field

from kernel.clock import rfc3339
from kernel.codec import JsonCodec, Unreadable
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec

OperationId = Annotated[str, Field(min_length=1, max_length=64)]
Revision = Annotated[int, Field(ge=1)]
Who = Annotated[str, Field(max_length=128)]
"""Who asked for the operation, for the audit trail; empty for the app itself."""


@dataclass(frozen=True, slots=True)
class Ensure:
    """Make sure that the agent exists as declared by this revision."""

    operation_id: OperationId
    revision: Revision
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class RecordUse:
    """Count uses up to a moment."""

    operation_id: OperationId
    uses: Annotated[int, Field(ge=1)]
    last_used: AwareDatetime


@dataclass(frozen=True, slots=True)
class Retire:
    """Retire the agent, unless it was used after `unused_since`: its spec is kept, its next use restores it.

    At the provider it is disabled and its definition archived; after the grace period its versions are deleted.
    Repeating the operation continues an interrupted one.
    """

    operation_id: OperationId
    unused_since: AwareDatetime
    grace_s: Annotated[int, Field(ge=0)] = 0
    by: Who = ""
    why: Annotated[str, Field(max_length=256)] = ""


@dataclass(frozen=True, slots=True)
class Restore:
    """Restore the agent, as declared by this revision, if it was retired or failed to be created."""

    operation_id: OperationId
    revision: Revision
    spec: AgentSpec
    by: Who = ""


@dataclass(frozen=True, slots=True)
class Disable:
    """Disable the agent (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Enable:
    """Enable the agent again (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the agent and its versions made by this app (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Verify:
    """Check whether its version at the provider is unchanged; create it again if not."""

    operation_id: OperationId
    by: Who = ""


@dataclass(frozen=True, slots=True)
class Renew:
    """Check whether the version of this revision exists unchanged, and create it if not."""

    operation_id: OperationId
    revision: Revision
    spec: AgentSpec
    by: Who = ""


@dataclass(frozen=True, slots=True)
class KeepVersion:
    """Keep a version of this spec at the provider besides the current one: a session is pinned to it."""

    operation_id: OperationId
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Trim:
    """Delete these superseded versions, unless one was superseded after `unused_since`."""

    operation_id: OperationId
    versions: tuple[ProviderVersion, ...]
    unused_since: AwareDatetime
    why: Annotated[str, Field(max_length=256)] = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete these versions at the provider if they have our owner's mark and are not in the record.

    Each names its provider in `provider`.
    """

    operation_id: OperationId
    versions: tuple[ProviderVersion, ...]
    by: Who = ""


Operation = (
    Ensure | RecordUse | Retire | Restore | Disable | Enable | Remove | Verify | Renew | KeepVersion | Trim | Sweep
)

_KINDS: Mapping[str, type[Operation]] = {
    "ensure": Ensure,
    "record_use": RecordUse,
    "retire": Retire,
    "restore": Restore,
    "disable": Disable,
    "enable": Enable,
    "delete": Remove,
    "verify": Verify,
    "renew": Renew,
    "keep": KeepVersion,
    "trim": Trim,
    "sweep": Sweep,
}


_INPUTS: Mapping[str, JsonCodec[Operation]] = {kind: JsonCodec(cls) for kind, cls in _KINDS.items()}


def to_signal(operation: Operation) -> tuple[str, dict[str, Any]]:
    """Return the operation's name, and its input as JSON-compatible values."""
    name = next(kind for kind, cls in _KINDS.items() if isinstance(operation, cls))
    values = {field: getattr(operation, field) for field in operation.__slots__}
    return name, {field: _to_json(value) for field, value in values.items()}


def from_signal(name: str, values: Mapping[str, Any]) -> Operation:
    """Return the operation of a signal.

    Raises:
        ValueError: The name is unknown, or the input is not valid; the text quotes no values.
    """
    kind = _INPUTS.get(name)
    if kind is None:
        msg = f"unknown operation {name!r}"
        raise ValueError(msg)
    try:
        return kind.load(json.dumps(values))
    except (Unreadable, TypeError, RecursionError):
        msg = f"the input of {name!r} is not valid"
        raise ValueError(msg) from None


def _to_json(value: object) -> object:
    if isinstance(value, AgentSpec):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        versions = cast("tuple[ProviderVersion, ...]", value)
        return [asdict(version) | {"created_at": rfc3339(version.created_at)} for version in versions]
    return rfc3339(value) if isinstance(value, datetime) else value
