"""Composition of layers into one spec.

Layers from the lowest to the highest; the highest that sets a value wins:

    defaults < the template's ancestors, root first < the template < the workspace's overrides < the agent's own

This holds for each field of the spec, each label, each guideline, each capability's switch and the choice of a
personality. Added instructions and prohibitions accumulate in that order: no layer removes another's. The chosen
personality and capabilities are added last. They add text and tools, and change no field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from kernel.validation import wrong_places
from lifecycle.configuration.merging import DEFAULT, Merged, Origin, OriginValue
from lifecycle.configuration.rendering import Section, as_text, sections
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from lifecycle.configuration.layers import Capability, Personality
    from lifecycle.specs.hosted_tools import HostedTool


@dataclass(frozen=True, slots=True)
class Effective:
    """A composed spec, with the origin of each value.

    Attributes:
        spec: The spec.
        values: By JSON pointer into the spec: each field, each label, and each tool by its place. The instructions'
            origins are in `sections`.
        sections: What the instructions consist of, in order; `rendering.as_text` joins them.
        chosen: By JSON pointer into a layer: the choice of a personality, the capabilities' switches and the
            guidelines.
    """

    spec: AgentSpec
    values: Mapping[str, OriginValue]
    sections: Sequence[Section]
    chosen: Mapping[str, OriginValue]


def composed(
    merged: Merged,
    personality: tuple[Personality, Origin] | None,
    capabilities: Iterable[tuple[Capability, Origin]],
) -> Effective:
    """Return the spec of merged layers, with the personality and capabilities that they choose.

    Raises:
        InvalidInput: The result is not a valid spec; `fields` says where.
    """
    capabilities = list(capabilities)
    parts = sections(merged, personality, capabilities)
    tools = _tools(merged, capabilities)
    labels = merged.keyed("labels")
    given = {path[0]: value for path, value in merged.values.items() if path[0] in AgentSpec.model_fields}
    fields = {name: value.value for name, value in given.items()}
    fields |= {"labels": {key: label.value for key, label in labels.items()}} if labels else {}
    fields |= {"tools": [tool.value for tool in tools]} if tools else {}
    fields |= {"instructions": as_text(parts)} if parts else {}
    spec = _valid(fields)
    values = {
        f"/{name}": OriginValue(getattr(spec, name), given[name].origin if name in given else DEFAULT)
        for name in AgentSpec.model_fields
        if name not in ("instructions", "labels", "tools")
    }
    values |= {f"/labels/{escaped(key)}": label for key, label in labels.items()}
    values |= {f"/tools/{at}": tool for at, tool in enumerate(tools)}
    return Effective(spec, values, parts, _chosen(merged))


def escaped(key: str) -> str:
    """Return a key escaped as a step of a JSON pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _tools(merged: Merged, capabilities: Iterable[tuple[Capability, Origin]]) -> Sequence[OriginValue]:
    own = merged.values.get(("tools",))
    found = [OriginValue(tool, own.origin) for tool in own.value] if own else []
    for capability, origin in capabilities:
        held = [_label(tool.value) for tool in found]
        found += [OriginValue(tool, origin) for tool in capability.tools if _label(tool) not in held]
    return found


def _label(tool: str | HostedTool) -> tuple[bool, str]:
    return (isinstance(tool, str), tool if isinstance(tool, str) else tool.label)


def _chosen(merged: Merged) -> Mapping[str, OriginValue]:
    found: dict[str, OriginValue] = {}
    if ("personality",) in merged.values:
        found["/personality"] = merged.values["personality",]
    for field in ("capabilities", "guidelines"):
        found |= {f"/{field}/{key}": value for key, value in sorted(merged.keyed(field).items())}
    return found


def _valid(values: Mapping[str, Any]) -> AgentSpec:
    try:
        return AgentSpec.model_validate(values)
    except ValidationError as error:
        raise InvalidInput("The agent's spec is not valid; see errors.", fields=wrong_places(error)) from None
