"""The spec of an agent, and its fingerprint: equal fingerprints share a version at the provider."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from kernel.ids import MODEL_NAME
from lifecycle.specs.approvals import ApprovalRule, unasked, unasked_because
from lifecycle.specs.hosted_tools import HostedTool, Mcp, SpecTool, ToolName, repeated
from lifecycle.specs.output_format import ResponseFormat
from lifecycle.specs.spending import DegradationStep, Runaway, check_ladder
from lifecycle.tools.handoff import is_handoff
from llmops.evaluation.policy import EvaluationPolicy
from llmops.performance.sla import SlaPolicy

ProviderKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ModelName = Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
ReasoningEffort = Literal["minimal", "low", "medium", "high"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]

_DIGESTED = re.compile(r"-[0-9a-f]{16}\Z")

POLICY_FIELDS = frozenset(
    {
        "description",
        "labels",
        "pinned",
        "idle_after_s",
        "max_history_tokens",
        "evaluation",
        "sla",
        "ladder",
        "runaway",
        "approvals",
        "client_tools",
    }
)
"""Fields of a spec that do not change the agent at the provider: changing them makes no new version."""

_LATER_FIELDS = frozenset({"response_format", "context_providers", "reasoning_effort"})
"""Fields that were added later: at their defaults they do not change the fingerprint."""

_HOSTING = frozenset({"foundry"})
_FORMATTING = frozenset({"foundry", "openai", "route"})


class Simulation(BaseModel):
    """What the `offline` provider simulates besides answering: slow, failing and tool-calling agents.

    Attributes:
        latency_ms: Duration of each model call, in milliseconds.
        stream_chunk_ms: Pause before each piece of a streamed answer, in milliseconds.
        fail_first: How many attempts of each run fail before one succeeds, by the attempt's number.
        fail_with: How they fail: `throttled` and `unavailable` are retriable, `rejected` and `content_filter` are not.
        fail_creates: How many attempts to create the agent fail with `unavailable` before one succeeds.
        call_tool: Name of a tool in `tools`, a handoff tool (`handoff_to_…`) or a client tool that the model calls once
            before it answers; None for none.
        reply: Text of the answer; None for the provider's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    latency_ms: int = Field(default=0, ge=0, le=600_000, strict=True)
    stream_chunk_ms: int = Field(default=0, ge=0, le=10_000, strict=True)
    fail_first: int = Field(default=0, ge=0, le=100, strict=True)
    fail_with: Literal["throttled", "unavailable", "rejected", "content_filter"] = "unavailable"
    fail_creates: int = Field(default=0, ge=0, le=100, strict=True)
    call_tool: ToolName | None = None
    reply: str | None = Field(default=None, max_length=20_000)


class AgentSpec(BaseModel):
    """The spec of an agent.

    Attributes:
        provider: Where the model runs: `offline` (no model, for trials and tests), `openai` (any compatible endpoint),
            `foundry` (an agent in a Microsoft Foundry project), `route` (the deployments of a route), or a chat client
            of an extension.
        model: Model or deployment name at the provider; with `route`, the route's name.
        instructions: System prompt, at most 100,000 characters.
        description: Purpose of the agent, shown in lists.
        temperature: Sampling temperature 0-2; None for the provider's default.
        top_p: Nucleus sampling 0-1; None for the provider's default.
        max_output_tokens: Most tokens of one model call; None for the provider's default.
        reasoning_effort: How long a reasoning model thinks before it answers; None for its default. Not with `offline`.
        tools: Tools that the model may call: names of function tools, MCP servers, and hosted tools
            (`lifecycle.specs.hosted_tools`), which only `foundry` has.
        context_providers: Names of the context providers of each run; extensions define them.
        response_format: JSON Schema of answers; None for text. Not with `offline`.
        simulate: What the `offline` provider simulates; only allowed there.
        labels: At most 16 key-value pairs for finding and grouping agents.
        pinned: Whether the agent is never retired when idle.
        idle_after_s: Seconds without use before the agent is retired; None for the app's setting.
        max_history_tokens: Most tokens of a session's history that the model gets, unless the session sets it; None for
            the app's setting.
        evaluation: How its answers are evaluated; None for the checks that fit every answer.
        sla: Its service level objectives; None for the app's settings.
        ladder: Its degradation steps as its budgets are used up, ascending.
        runaway: When a run counts as runaway; None for the app's settings.
        approvals: Which tool calls need an approval, in addition to the workspace's policy.
        client_tools: Whether callers may bring client tools. Not with `foundry`, whose agents have the tools of their
            version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    provider: ProviderKind = "offline"
    model: ModelName
    instructions: str = Field(default="", max_length=100_000)
    description: str = Field(default="", max_length=512)
    temperature: float | None = Field(default=None, ge=0, le=2, strict=True)
    top_p: float | None = Field(default=None, gt=0, le=1, strict=True)
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000, strict=True)
    reasoning_effort: ReasoningEffort | None = None
    tools: tuple[SpecTool, ...] = Field(default=(), max_length=128)
    context_providers: tuple[ToolName, ...] = Field(default=(), max_length=16)
    response_format: ResponseFormat | None = None
    simulate: Simulation | None = None
    labels: Mapping[Label, Annotated[str, StringConstraints(max_length=256)]] = Field(default={}, max_length=16)
    pinned: StrictBool = False
    idle_after_s: int | None = Field(default=None, ge=1, strict=True)
    max_history_tokens: int | None = Field(default=None, ge=100, le=10_000_000, strict=True)
    evaluation: EvaluationPolicy | None = None
    sla: SlaPolicy | None = None
    ladder: tuple[DegradationStep, ...] = Field(default=(), max_length=16)
    runaway: Runaway | None = None
    approvals: tuple[ApprovalRule, ...] = Field(default=(), max_length=32)
    client_tools: StrictBool = False

    @model_validator(mode="after")
    def _consistent(self) -> AgentSpec:
        if self.simulate is not None and self.provider != "offline":
            msg = "simulate is only allowed with provider 'offline'"
            raise ValueError(msg)
        called = self.simulate.call_tool if self.simulate is not None else None
        of_server = called is not None and called.startswith(tuple(f"{one.server_label}_" for one in self.mcp_servers))
        hands_over = called is not None and is_handoff(called)
        if called not in (None, *self.tools) and not (of_server or hands_over or self.client_tools):
            msg = "simulate.call_tool must name one of tools"
            raise ValueError(msg)
        if repeated(self.tools):
            msg = "tools must not repeat a name, nor a type of hosted tool (mcp: a server_label)"
            raise ValueError(msg)
        if self.provider not in _HOSTING and any(not isinstance(tool, Mcp) for tool in self.hosted_tools):
            msg = f"the provider {self.provider!r} runs no tools itself; name function tools, or use 'foundry'"
            raise ValueError(msg)
        if unfit := next(filter(None, (server.unfit(self.provider) for server in self.mcp_servers)), None):
            raise ValueError(unfit)
        if (server := unasked(self.approvals, self.hosted_servers)) is not None:
            raise ValueError(unasked_because(server))
        if self.response_format is not None and self.provider not in _FORMATTING:
            msg = f"the provider {self.provider!r} has no structured output; leave out response_format"
            raise ValueError(msg)
        if self.reasoning_effort is not None and self.provider not in _FORMATTING:
            msg = f"the provider {self.provider!r} does not support reasoning effort; leave out reasoning_effort"
            raise ValueError(msg)
        if self.client_tools and self.provider in _HOSTING:
            msg = f"the agents of provider {self.provider!r} have the tools of their version; leave out client_tools"
            raise ValueError(msg)
        check_ladder(self.ladder, self.provider)
        return self

    @property
    def hosted_tools(self) -> tuple[HostedTool, ...]:
        """The hosted tools among `tools`."""
        return tuple(tool for tool in self.tools if not isinstance(tool, str))

    @property
    def hosted_servers(self) -> tuple[Mcp, ...]:
        """The MCP servers whose tools the provider calls itself."""
        return self.mcp_servers if self.provider in _HOSTING else ()

    @property
    def mcp_servers(self) -> tuple[Mcp, ...]:
        """The MCP servers among `tools`."""
        return tuple(tool for tool in self.tools if isinstance(tool, Mcp))


def content(spec: AgentSpec) -> str:
    """Return the fields that define the agent at the provider, as JSON with sorted keys; without POLICY_FIELDS."""
    fields = spec.model_dump(mode="json", exclude=set(POLICY_FIELDS))
    if spec.simulate is not None and not spec.simulate.stream_chunk_ms:
        del fields["simulate"]["stream_chunk_ms"]  # as for _LATER_FIELDS
    significant = {
        name: value for name, value in fields.items() if value not in (None, []) or name not in _LATER_FIELDS
    }
    return json.dumps(significant, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(spec: AgentSpec) -> str:
    """Return the SHA-256 (hex, 64 characters) of the spec's `content`."""
    return hashlib.sha256(content(spec).encode()).hexdigest()


def provider_name(workspace: str, agent: str) -> str:
    """Return the agent's name at the provider: at most 63 of a-z, 0-9 and `-`, unique for each agent.

    Names that fit the provider's alphabet stay readable; others get 16 hex digits of their SHA-256, as `a_b` and `a-b`
    would both become `a-b`. So do names that end like that, so that nobody can choose the name of another's agent.
    """
    if workspace == "default" and "_" not in agent and not _DIGESTED.search(agent):
        return agent
    digest = hashlib.sha256(f"{workspace}/{agent}".encode()).hexdigest()[:16]
    return f"{f'{workspace}-{agent}'.replace('_', '-')[:46].rstrip('-')}-{digest}"
