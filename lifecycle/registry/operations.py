"""What can be asked of an agent's actor, and how it travels as the input of an entity signal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError

from kernel.clock import rfc3339
from kernel.codec import JsonCodec
from lifecycle.configuration.specs import AgentSpec

OperationId = Annotated[str, Field(min_length=1, max_length=64)]
Revision = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Ensure:
    """Make the agent as declared by this revision be there and usable."""

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
    """Remove it at the provider and keep its spec, unless it was used after `unused_since`."""

    operation_id: OperationId
    unused_since: AwareDatetime


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring it back, as declared by this revision, if it was retired or could not be made."""

    operation_id: OperationId
    revision: Revision
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Disable:
    """Switch it off (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Enable:
    """Switch it on again (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete it, with everything of ours at the provider (declared by this revision)."""

    operation_id: OperationId
    revision: Revision


@dataclass(frozen=True, slots=True)
class Verify:
    """Look whether its version is still at the provider."""

    operation_id: OperationId


Operation = Ensure | RecordUse | Retire | Restore | Disable | Enable | Remove | Verify

_KINDS: Mapping[str, type[Operation]] = {
    "ensure": Ensure,
    "record_use": RecordUse,
    "retire": Retire,
    "restore": Restore,
    "disable": Disable,
    "enable": Enable,
    "delete": Remove,
    "verify": Verify,
}


_INPUTS: Mapping[str, JsonCodec[Operation]] = {kind: JsonCodec(cls) for kind, cls in _KINDS.items()}


def to_signal(operation: Operation) -> tuple[str, dict[str, Any]]:
    """Return the operation's name and its input as JSON-ready values."""
    name = next(kind for kind, cls in _KINDS.items() if isinstance(operation, cls))
    values = {field: getattr(operation, field) for field in operation.__slots__}
    return name, {field: _to_json(value) for field, value in values.items()}


def from_signal(name: str, values: Mapping[str, Any]) -> Operation:
    """Return the operation that a signal carries.

    Raises:
        ValueError: The name is unknown, or the input is not what `to_signal` makes; it tells no values of it.
    """
    kind = _INPUTS.get(name)
    if kind is None:
        msg = f"unknown operation {name!r}"
        raise ValueError(msg)
    try:
        return kind.load(json.dumps(values))
    except (ValidationError, TypeError, RecursionError):
        msg = f"the input of {name!r} is not valid"
        raise ValueError(msg) from None


def _to_json(value: object) -> object:
    if isinstance(value, AgentSpec):
        return value.model_dump(mode="json")
    return rfc3339(value) if isinstance(value, datetime) else value
