"""Response models of templates, personalities, capabilities, overrides and preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from lifecycle.configuration.kinds import Ref
from lifecycle.configuration.layers import AgentConfig, Capability, Overrides, Personality, Template
from lifecycle.configuration.preferences import Preferences
from lifecycle.specs.spec import AgentSpec, fingerprint
from triggers.http.base_models import FailureView, Page, View

if TYPE_CHECKING:
    from lifecycle.configuration.merging import Origin, OriginValue
    from lifecycle.configuration.rendering import Section
    from lifecycle.configuration.sources import Resolved
    from lifecycle.configuration.store import ConfigurationItem
    from lifecycle.propagation.propagation import Propagated
    from lifecycle.registry.catalog import Agent
    from lifecycle.registry.mcp_offers import Compared


class FollowedView(View):
    """The effect of a change on agents: examined, changed, not updatable; `complete` is false while a timer goes on."""

    looked: int
    changed: int
    refused: int
    complete: bool


class ItemView(View):
    """An item and its version; `builtin` ones come with the app. `followed` is only set after a change."""

    name: str
    version: int
    builtin: bool
    updated_at: datetime | None
    followed: FollowedView | None = None

    @classmethod
    def from_item(cls, item: ConfigurationItem, followed: Propagated | None = None) -> Self:
        """Return the view of an item."""
        return cls.model_validate(
            {
                "name": item.ref.name,
                "version": item.version,
                "builtin": item.builtin,
                "updated_at": item.updated_at,
                "content": item.content,
                "followed": FollowedView.of(followed) if followed else None,
            }
        )


class TemplateView(ItemView):
    """A template; `builtin` ones come with the app."""

    content: Template | None


class PersonalityView(ItemView):
    """A personality; `builtin` ones come with the app."""

    content: Personality | None


class CapabilityView(ItemView):
    """A capability; `builtin` ones come with the app."""

    content: Capability | None


class OverridesView(ItemView):
    """Settings of a workspace for all its agents; version 0 without content before the first change."""

    content: Overrides | None


class TemplatePage(Page[TemplateView]):
    """Templates by name, or the versions of one, newest first; a version without content is a deletion."""


class PersonalityPage(Page[PersonalityView]):
    """Personalities by name, or the versions of one, newest first; a version without content is a deletion."""


class CapabilityPage(Page[CapabilityView]):
    """Capabilities by name, or the versions of one, newest first; a version without content is a deletion."""


class OverridesPage(Page[OverridesView]):
    """Versions of a workspace's overrides, newest first; one without content is a deletion."""


class DependentView(View):
    """A user of an item: an `agent`, a `template` or the workspace's `overrides`."""

    kind: str
    name: str


class DependentPage(Page[DependentView]):
    """The users of an item."""


class PreferencesView(View):
    """The preferences of a user."""

    user_id: str
    version: int
    preferences: Preferences


class OriginView(View):
    """The origin of a value: kind, name and version of the item (version 0 for built-in ones)."""

    kind: str
    name: str
    version: int


class ValueView(View):
    """A value by JSON pointer, and its origin."""

    pointer: str
    value: Any
    origin: OriginView


class SectionView(View):
    """A part of the instructions, and its origin."""

    text: str
    origins: Sequence[OriginView]


class SourceView(View):
    """An item that an agent is composed of, and its version."""

    kind: str
    name: str
    version: int


class OfferedToolView(View):
    """A tool of an MCP server; its schema is JSON text, empty where the server's tools were too large to store."""

    name: str
    description: str
    parameters_json: str


class McpServerView(View):
    """The tools an MCP server offered when the agent was declared, and the differences now, by tool.

    `called_by` says who calls it in runs. With `state` `unknown`, `problem` says why the app does not know: it cannot
    reach the server, or could not when the agent was declared, or knows no URL of it.
    """

    server_label: str
    called_by: Literal["app", "provider"]
    state: Literal["same", "changed", "unknown"]
    tools: Sequence[OfferedToolView]
    changes: Mapping[str, Literal["added", "removed", "changed"]]
    problem: str

    @classmethod
    def from_compared(cls, one: Compared, *, hosted: bool) -> McpServerView:
        """Return the view of what was found."""
        tools = [
            OfferedToolView(name=tool.name, description=tool.description, parameters_json=tool.schema)
            for tool in one.declared.tools
        ]
        return cls(
            server_label=one.declared.server_label,
            called_by="provider" if hosted else "app",
            state=one.state,
            tools=tools,
            changes=one.changes,
            problem=one.problem,
        )


class EffectiveView(View):
    """The effective configuration of an agent, with the origin of every value.

    `current` says whether the agent is already declared so; `problem`, why it stays as it was. `mcp` are its
    MCP servers.
    """

    name: str
    revision: int
    current: bool
    problem: FailureView | None
    declared: AgentConfig
    spec: AgentSpec
    fingerprint: str
    values: Sequence[ValueView]
    instructions: Sequence[SectionView]
    choices: Sequence[ValueView]
    sources: Sequence[SourceView]
    mcp: Sequence[McpServerView]

    @classmethod
    def from_resolved(
        cls, agent: Agent, declared: AgentConfig, resolved: Resolved, servers: Sequence[Compared] = ()
    ) -> EffectiveView:
        """Return the view of an agent that can be composed."""
        effective = resolved.effective
        spec = effective.spec
        return cls(
            name=agent.name,
            revision=agent.declaration.revision,
            current=spec == agent.declaration.spec,
            problem=None,
            declared=declared,
            spec=spec,
            fingerprint=fingerprint(spec),
            values=[_value(pointer, each) for pointer, each in effective.values.items()],
            instructions=[_section(section) for section in effective.sections],
            choices=[_value(pointer, each) for pointer, each in effective.chosen.items()],
            sources=_sources(resolved.versions),
            mcp=[McpServerView.from_compared(one, hosted=bool(spec.hosted_servers)) for one in servers],
        )

    @classmethod
    def from_problem(cls, agent: Agent, declared: AgentConfig, problem: FailureView) -> EffectiveView:
        """Return the view of an agent that can no longer be composed and keeps its last configuration."""
        spec = agent.declaration.spec
        return cls(
            name=agent.name,
            revision=agent.declaration.revision,
            current=True,
            problem=problem,
            declared=declared,
            spec=spec,
            fingerprint=fingerprint(spec),
            values=[],
            instructions=[],
            choices=[],
            sources=_sources(agent.declaration.sources),
            mcp=[],
        )


def _value(pointer: str, each: OriginValue) -> ValueView:
    return ValueView(pointer=pointer, value=each.value, origin=_origin(each.origin))


def _section(section: Section) -> SectionView:
    return SectionView(text=section.text, origins=[_origin(origin) for origin in section.origins])


def _origin(origin: Origin) -> OriginView:
    return OriginView.of(origin)


def _sources(versions: Mapping[str, int]) -> Sequence[SourceView]:
    refs = [(Ref.parse(text), version) for text, version in versions.items()]
    return [SourceView(kind=ref.kind.value, name=ref.name, version=version) for ref, version in refs]
