"""Kinds of items that are stored under a name with versions: parts of agents, teams and workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kernel.errors import InvalidInput
from lifecycle.configuration.layers import AgentConfig, Capability, Content, Layer, Overrides, Personality, Template
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec


class Kind(StrEnum):
    """Kind of a named, versioned item."""

    TEMPLATE = "template"
    PERSONALITY = "personality"
    CAPABILITY = "capability"
    OVERRIDES = "overrides"
    TEAM = "team"
    WORKFLOW = "workflow"


CONTENT: Mapping[Kind, type[Content]] = {
    Kind.TEMPLATE: Template,
    Kind.PERSONALITY: Personality,
    Kind.CAPABILITY: Capability,
    Kind.OVERRIDES: Overrides,
}
"""Kinds of items that agents are composed of."""
StoredContent = Content | Team | WorkflowSpec
STORED: Mapping[Kind, type[StoredContent]] = {**CONTENT, Kind.TEAM: Team, Kind.WORKFLOW: WorkflowSpec}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


class Ref(NamedTuple):
    """An item by its kind and name."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Return the reference from the text that `str` gives."""
        kind, _, name = text.partition(":")
        return cls(Kind(kind), name)


OVERRIDES = Ref(Kind.OVERRIDES, "workspace")
"""The reference to a workspace's overrides; there is one set."""


def item_name(kind: Kind, text: str) -> str:
    """Return the name if it is valid: 1-63 of a-z, 0-9, `_`, `-`, alphanumeric at both ends.

    Raises:
        InvalidInput: It is not valid (code `invalid_template_name`, …).
    """
    if not _NAME.fullmatch(text):
        msg = f"Not a valid {kind.value} name: use 1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends."
        raise InvalidInput(msg, code=f"invalid_{kind.value}_name")
    return text


def references(content: StoredContent | AgentConfig) -> Mapping[Ref, str]:
    """Return the items that an item or a declaration refers to, each with the JSON pointer of the reference."""
    if not isinstance(content, Layer):
        return {}
    found: dict[Ref, str] = {}
    parent = content.extends if isinstance(content, Template) else getattr(content, "template", None)
    if parent:
        found[Ref(Kind.TEMPLATE, parent)] = "/extends" if isinstance(content, Template) else "/template"
    if content.personality:
        found[Ref(Kind.PERSONALITY, content.personality)] = "/personality"
    for name, on in content.capabilities.items():
        if on:
            found[Ref(Kind.CAPABILITY, name)] = f"/capabilities/{name}"
    return found
