"""Composes declared agents into specs, from the items that they refer to, and keeps the index of those items."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from kernel.errors import InvalidInput, one_of
from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.composition import Effective, composed
from lifecycle.configuration.dependents import Dependent, DependentKind, Dependents
from lifecycle.configuration.kinds import OVERRIDES, Kind, Ref, references
from lifecycle.configuration.layers import AgentConfig, Capability, Content, Overrides, Personality, Template
from lifecycle.configuration.merging import NOTHING, Merged, Origin
from lifecycle.specs.output_format import check_response_format
from lifecycle.specs.servers import ToolServers
from lifecycle.specs.tools import Tools, check_context, check_tools

if TYPE_CHECKING:
    from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore
    from lifecycle.specs.spec import AgentSpec
    from llmops.evaluation.policy import EvaluationPolicy

T = TypeVar("T", bound=Content)

MAX_CHAIN = 8
"""Most templates in a chain of `extends`."""


@dataclass(frozen=True, slots=True)
class SpecNames:
    """The names that specs can use.

    Attributes:
        tools: Names of function tools.
        checks: Names of the app's own checks of answers.
        context: Names of context providers.
        providers: Names of model providers.
        servers: Connects to MCP servers; None where none can be used.
    """

    tools: Tools
    checks: Collection[str] = ()
    context: Collection[str] = ()
    providers: Collection[str] = ("offline", "openai", "foundry", "route")
    servers: ToolServers | None = None

    def check(self, spec: AgentSpec) -> None:
        """Check that everything the spec names exists.

        Raises:
            InvalidInput: Something does not exist (`unknown_tool`, `unknown_check`, `unknown_context_provider`,
                `unknown_provider`), or an MCP server's URL is refused (`mcp_url_refused`).
        """
        if spec.provider not in self.providers:
            msg = f"Unknown provider: {spec.provider}. This app has: {one_of(sorted(self.providers))}."
            raise InvalidInput(msg, code="unknown_provider", fields={"/provider": "This app has no such provider."})
        check_tools(self.tools, spec.tools)
        check_context(self.context, spec.context_providers)
        _check_checks(self.checks, spec.evaluation)
        if self.servers is not None and spec.provider != "foundry":
            for server in spec.mcp_servers:
                self.servers.check(server)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The result of composing a declaration.

    Attributes:
        effective: The spec, with the origin of everything in it.
        versions: The version of each item it was composed of, by `kind:name`; includes empty overrides.
    """

    effective: Effective
    versions: Mapping[str, int]


class Sources:
    """Items of a workspace, each read once and then cached; make a new instance to read them again."""

    def __init__(
        self, items: ConfigurationStore, names: SpecNames, workspace: str, *, assuming: ConfigurationItem | None = None
    ) -> None:
        """Set the workspace, the names that specs can use, and an item to use in place of the stored (`assuming`)."""
        self._items = items
        self._names = names
        self._workspace = workspace
        self._found: dict[Ref, ConfigurationItem] = {assuming.ref: assuming} if assuming else {}

    async def resolve(self, config: AgentConfig) -> Resolved:
        """Return the composed spec of a declaration.

        Raises:
            InvalidInput: It refers to an item that does not exist (`unknown_template`, `unknown_personality`,
                `unknown_capability`), its templates extend one another in a circle (`template_cycle`) or in a chain
                longer than MAX_CHAIN (`template_chain_too_long`), the spec is not valid or uses unknown names (see
                `SpecNames.check`), or its answers could not be validated (`invalid_schema`).
        """
        chain = await self.chain(config.template, "/template") if config.template else ()
        overrides = await self._find(OVERRIDES)
        merged = NOTHING
        for item in chain:
            merged = merged.under(Merged.of(_content(item, Template), _origin(item)))
        used = list(chain)
        if config.overrides:
            overrides = await self._find(OVERRIDES)
            used.append(overrides)
            if overrides.content is not None:
                merged = merged.under(Merged.of(_content(overrides, Overrides), _origin(overrides)))
        merged = merged.under(Merged.of(config, Origin("agent")))
        personality = None
        if merged.personality:
            item = await self._known(Ref(Kind.PERSONALITY, merged.personality), "/personality")
            personality = _content(item, Personality), _origin(item)
            used.append(item)
        capabilities: list[tuple[Capability, Origin]] = []
        for name in merged.capabilities:
            item = await self._known(Ref(Kind.CAPABILITY, name), f"/capabilities/{name}")
            capabilities.append((_content(item, Capability), _origin(item)))
            used.append(item)
        effective = composed(merged, personality, capabilities)
        self._names.check(effective.spec)
        await check_response_format(effective.spec.response_format)
        return Resolved(effective, {str(item.ref): item.version for item in used})

    async def check(self, content: Content) -> None:
        """Check that the items an item refers to exist.

        Raises:
            InvalidInput: See `resolve`.
        """
        for ref, pointer in references(content).items():
            if ref.kind is Kind.TEMPLATE:
                await self.chain(ref.name, pointer)
            else:
                await self._known(ref, pointer)
        tools = content.tools if isinstance(content, Capability) else getattr(content, "tools", None)
        check_tools(self._names.tools, tools or ())
        check_context(self._names.context, getattr(content, "context_providers", None) or ())
        _check_checks(self._names.checks, getattr(content, "evaluation", None))
        await check_response_format(getattr(content, "response_format", None))

    async def chain(self, template: str, pointer: str) -> Sequence[ConfigurationItem]:
        """Return the template and those that it extends, the root first.

        Raises:
            InvalidInput: See `resolve`; `pointer` is the JSON pointer of the reference.
        """
        chain: list[ConfigurationItem] = []
        name: str | None = template
        while name:
            names = [item.ref.name for item in chain]
            if name in names:
                circle = " → ".join([*names[names.index(name) :], name])
                msg = f"Templates extend one another in a circle: {circle}."
                raise InvalidInput(msg, code="template_cycle", fields={pointer: circle})
            if len(chain) == MAX_CHAIN:
                msg = f"At most {MAX_CHAIN} templates can extend one another: {' → '.join([*names, name])}."
                raise InvalidInput(msg, code="template_chain_too_long", fields={pointer: f"at most {MAX_CHAIN}"})
            item = await self._known(Ref(Kind.TEMPLATE, name), pointer)
            chain.append(item)
            name = _content(item, Template).extends
        return chain[::-1]

    async def _known(self, ref: Ref, pointer: str) -> ConfigurationItem:
        item = await self._find(ref)
        if item.content is None:
            msg = f"There is no {ref.kind.value} {ref.name!r}."
            raise InvalidInput(msg, code=f"unknown_{ref.kind.value}", fields={pointer: msg})
        return item

    async def _find(self, ref: Ref) -> ConfigurationItem:
        found = self._found.get(ref)
        if found is None:
            found = self._found[ref] = await self._items.find(self._workspace, ref)
        return found


def _content(item: ConfigurationItem, kind: type[T]) -> T:
    if not isinstance(item.content, kind):
        msg = f"{item.ref} is no {kind.__name__}"
        raise TypeError(msg)
    return item.content


def _origin(item: ConfigurationItem) -> Origin:
    kind = item.ref.kind
    if kind is Kind.OVERRIDES:
        return Origin("overrides", "", item.version)
    if kind in (Kind.TEAM, Kind.WORKFLOW):
        msg = f"no agent is composed of a {kind.value}"
        raise TypeError(msg)
    return Origin(kind.value, item.ref.name, item.version)


def _check_checks(known: Collection[str], policy: EvaluationPolicy | None) -> None:
    unknown = [name for name in (policy.checks if policy else ()) if name not in known]
    if unknown:
        msg = f"Unknown checks: {one_of(unknown)}. This app has: {one_of(sorted(known)) or 'none'}."
        raise InvalidInput(msg, code="unknown_check", fields={"/evaluation/checks": "This app has no such check."})


class Composer:
    """Composes agents from the items that are stored now."""

    def __init__(self, items: ConfigurationStore, dependents: Dependents, names: SpecNames) -> None:
        """Set the stores and the names that specs can use."""
        self._items = items
        self._dependents = dependents
        self._names = names

    def sources(self, workspace: str, assuming: ConfigurationItem | None = None) -> Sources:
        """Return the workspace's items; with `assuming` in place of the stored item of that name."""
        return Sources(self._items, self._names, workspace, assuming=assuming)

    async def compose(self, workspace: str, name: str, config: AgentConfig) -> Resolved:
        """Enter the agent in the index of dependents, and return its composed spec.

        Raises:
            InvalidInput: See `Sources.resolve`.
        """
        resolved = await self.sources(workspace).resolve(config)
        await self.enter(workspace, name, resolved.versions)
        return resolved

    async def enter(self, workspace: str, name: str, sources: Iterable[str]) -> None:
        """Enter an agent in the index as depending on the sources, except overrides: every agent depends on those."""
        refs = [ref for ref in map(Ref.parse, sources) if ref.kind is not Kind.OVERRIDES]
        await self._dependents.enter(workspace, Dependent(DependentKind.AGENT, name), refs)
