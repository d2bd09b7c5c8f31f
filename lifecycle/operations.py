"""What can be asked of an agent's actor, and how it travels as the input of an entity signal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kernel.clock import parse_rfc3339, rfc3339
from lifecycle.specs import AgentSpec


@dataclass(frozen=True, slots=True)
class Ensure:
    """Make the agent as declared by this revision be there and usable."""

    operation_id: str
    revision: int
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class RecordUse:
    """Count uses up to a moment."""

    operation_id: str
    uses: int
    last_used: datetime


@dataclass(frozen=True, slots=True)
class Retire:
    """Remove it at the provider and keep its spec, unless it was used after `unused_since`."""

    operation_id: str
    unused_since: datetime


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring a retired or failed agent back."""

    operation_id: str


@dataclass(frozen=True, slots=True)
class Disable:
    """Switch it off (declared by this revision)."""

    operation_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Enable:
    """Switch it on again (declared by this revision)."""

    operation_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete it, with everything of ours at the provider (declared by this revision)."""

    operation_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Look whether its version is still at the provider."""

    operation_id: str


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


def to_signal(operation: Operation) -> tuple[str, dict[str, Any]]:
    """Return the operation's name and its input as JSON-ready values."""
    name = next(kind for kind, cls in _KINDS.items() if isinstance(operation, cls))
    values = {field: getattr(operation, field) for field in operation.__slots__}
    return name, {field: _to_json(value) for field, value in values.items()}


def from_signal(name: str, values: Mapping[str, Any]) -> Operation:
    """Return the operation that a signal carries.

    Raises:
        ValueError: The name is unknown, or the input is not what `to_signal` makes.
    """
    cls = _KINDS.get(name)
    if cls is None:
        msg = f"unknown operation {name!r}"
        raise ValueError(msg)
    fields = dict(values)
    if "spec" in fields:
        fields["spec"] = AgentSpec.model_validate(fields["spec"])
    for moment in ("last_used", "unused_since"):
        if moment in fields:
            fields[moment] = parse_rfc3339(fields[moment])
    try:
        return cls(**fields)
    except TypeError as error:
        msg = f"the input of {name!r} is not valid: {error}"
        raise ValueError(msg) from error


def _to_json(value: object) -> object:
    if isinstance(value, AgentSpec):
        return value.model_dump(mode="json")
    return rfc3339(value) if isinstance(value, datetime) else value
