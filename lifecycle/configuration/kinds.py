"""The kinds of things that are stored under names: what agents are composed of, what it refers to, and workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kernel.errors import InvalidInput
from lifecycle.configuration.layers import AgentConfig, Capability, Content, Layer, Overrides, Personality, Template
from lifecycle.specs.workflow import WorkflowSpec


class Kind(StrEnum):
    """What can be stored under a name."""

    TEMPLATE = "template"
    PERSONALITY = "personality"
    CAPABILITY = "capability"
    OVERRIDES = "overrides"
    WORKFLOW = "workflow"


CONTENT: Mapping[Kind, type[Content]] = {
    Kind.TEMPLATE: Template,
    Kind.PERSONALITY: Personality,
    Kind.CAPABILITY: Capability,
    Kind.OVERRIDES: Overrides,
}
"""What agents are composed of."""
StoredContent = Content | WorkflowSpec
STORED: Mapping[Kind, type[StoredContent]] = {**CONTENT, Kind.WORKFLOW: WorkflowSpec}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


class Ref(NamedTuple):
    """An item by its kind and name."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Return what `str` wrote."""
        kind, _, name = text.partition(":")
        return cls(Kind(kind), name)


OVERRIDES = Ref(Kind.OVERRIDES, "workspace")
"""A workspace's overrides, of which there is one."""


def item_name(kind: Kind, text: str) -> str:
    """Return the name if it is a valid one: 1-63 of a-z, 0-9, `_`, `-`, with alphanumeric ends.

    Raises:
        InvalidInput: It is not (code `invalid_template_name`, …).
    """
    if not _NAME.fullmatch(text):
        msg = f"Not a valid {kind.value} name: use 1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends."
        raise InvalidInput(msg, code=f"invalid_{kind.value}_name")
    return text


def references(content: StoredContent | AgentConfig) -> Mapping[Ref, str]:
    """Return what an item or declaration refers to by name, each with the JSON pointer of the place that says so."""
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
