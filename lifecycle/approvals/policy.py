"""Which tool calls need an approval by the workspace's policy, and its standing rules, which waive approvals.

Table `approvals`, partition `{workspace}`: `policy`, and `standing!{agent}!{digest}` for a standing rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from kernel.codec import JsonCodec, readable, stored_model
from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import delete_row, put_row
from kernel.tables import Row, Span, Tables, Upsert, first_rows
from lifecycle.approvals.approval import ApprovalTerms
from lifecycle.specs.approvals import ApprovalRule, Pattern, covering
from lifecycle.tools.argument_conditions import holds

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.tools.definition import Approval as ToolApproval

TABLE = "approvals"
_MOST_STANDING = 1_000


class PolicyRule(ApprovalRule):
    """A rule of a policy: which tool calls of which agents need an approval.

    Attributes:
        agents: Patterns of agents' names: `*` stands for any characters, `?` for one.
    """

    agents: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=64)] = ("*",)


class Policy(BaseModel):
    """A workspace's approval policy. Agents' specs can add to it, but not weaken it.

    Attributes:
        rules: Which calls need an approval; the first rule that matches a call sets its terms.
        standing: Whether standing rules may waive approvals that these rules demand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    rules: Annotated[tuple[PolicyRule, ...], Field(max_length=64)] = ()
    standing: StrictBool = False


@dataclass(frozen=True, slots=True)
class Need:
    """Why a call needs an approval, and on what terms.

    Attributes:
        terms: Who may decide it and until when.
        why: What demands it, for people to read.
        waivable: Whether a standing rule may waive it.
    """

    terms: ApprovalTerms
    why: str
    waivable: bool = True


@dataclass(frozen=True, slots=True)
class StandingRule:
    """Calls that no longer need an approval, as long as the agent's version is the same.

    Attributes:
        agent: The agent.
        version: Its version; the rule ends with it.
        tool: The tool.
        arguments_hash: Hash of the arguments; empty for any.
        by: Who made the rule.
        approval_id: The approval that they decided then.
        at: When, aware UTC.
    """

    agent: str
    version: str
    tool: str
    arguments_hash: str
    by: str
    approval_id: str
    at: datetime

    @property
    def digest(self) -> str:
        """The rule's key: the same for the same version, tool and arguments."""
        return standing_digest(self.version, self.tool, self.arguments_hash)


def standing_digest(version: str, tool: str, arguments_hash: str) -> str:
    """Return the key of a standing rule; an empty hash stands for any arguments."""
    return hashlib.sha256(f"{version}\n{tool}\n{arguments_hash}".encode()).hexdigest()[:32]


def need(
    agent: str,
    tool: str,
    arguments: Mapping[str, Any],
    policy: Policy,
    rules: Sequence[ApprovalRule],
    own: ToolApproval,
) -> Need | None:
    """Return why a call needs an approval; None where it needs none.

    One demand is enough: the policy's, the spec's or the tool's. The terms are the policy's where it demands one, else
    the spec's, else the defaults; `not_requester` holds if either has it.

    Args:
        agent: The agent.
        tool: The tool.
        arguments: The call's arguments.
        policy: The workspace's policy.
        rules: The approval rules of the agent's spec.
        own: When the tool itself demands an approval.
    """
    by_policy = covering(rules_for(policy, agent), tool, arguments)
    by_spec = covering(rules, tool, arguments)
    if by_policy is not None:
        strict = by_policy.not_requester or bool(by_spec and by_spec.not_requester)
        return Need(_terms(by_policy, not_requester=strict), "the workspace's policy", policy.standing)
    if by_spec is not None:
        return Need(_terms(by_spec, not_requester=by_spec.not_requester), "the agent's spec")
    if own == "always" or (isinstance(own, dict) and holds(own["when"], arguments)):
        return Need(ApprovalTerms(), "the tool")
    return None


def rules_for(policy: Policy, agent: str) -> Sequence[PolicyRule]:
    """Return the rules of a policy that apply to an agent."""
    return [rule for rule in policy.rules if any(fnmatchcase(agent, pattern) for pattern in rule.agents)]


class PolicyStore:
    """Stores workspaces' policies and standing rules."""

    def __init__(self, tables: Tables, clock: Clock, trust_for: timedelta) -> None:
        self._tables = tables
        self._clock = clock
        self._trust_for = trust_for
        self._known: dict[str, tuple[datetime, Policy]] = {}

    async def of(self, workspace: str) -> Policy:
        """Return the workspace's policy, at most `trust_for` old; an empty one where it has none."""
        now = self._clock()
        cached = self._known.get(workspace)
        if cached is None or cached[0] + self._trust_for <= now:
            row = await self._tables.get(TABLE, workspace, "policy")
            cached = self._known[workspace] = (now, _read(row))
        return cached[1]

    async def get(self, workspace: str) -> tuple[Policy, str]:
        """Return the workspace's policy and its ETag; an empty policy and an empty ETag where it has none."""
        row = await self._tables.get(TABLE, workspace, "policy")
        return _read(row), row.etag if row else ""

    async def put(self, workspace: str, policy: Policy, if_match: str | None) -> str:
        """Store the policy and return its ETag. Other workers use it within `trust_for`.

        Raises:
            EtagMismatch: It was changed since the caller read it.
        """
        row = Row(workspace, "policy", {"policy": policy.model_dump_json()})
        etag, _ = await put_row(self._tables, TABLE, row, if_match)
        self._known.pop(workspace, None)
        return etag

    async def add_standing(self, workspace: str, standing: StandingRule) -> None:
        """Store a standing rule; storing the same one again changes nothing."""
        key = f"standing!{standing.agent}!{standing.digest}"
        await self._tables.commit(TABLE, [Upsert(Row(workspace, key, {"standing": _STANDING.dump(standing)}))])

    async def standing(
        self, workspace: str, agent: str, version: str, tool: str, arguments_hash: str
    ) -> StandingRule | None:
        """Return the standing rule that applies to a call; None where there is none."""
        for hashed in (arguments_hash, ""):
            key = f"standing!{agent}!{standing_digest(version, tool, hashed)}"
            row = await self._tables.get(TABLE, workspace, key)
            for found in readable([row] if row else [], lambda row: _STANDING.load(row.text("standing")), "rule"):
                if (found.agent, found.version, found.tool) == (agent, version, tool):
                    return found
        return None

    async def all_standing(self, workspace: str) -> Sequence[StandingRule]:
        """Return the workspace's standing rules by agent, at most 1000."""
        rows = await first_rows(self._tables, TABLE, Span.prefix(workspace, "standing!"), _MOST_STANDING)
        return list(readable(rows, lambda row: _STANDING.load(row.text("standing")), "rule"))

    async def revoke(self, workspace: str, agent: str, digest: str) -> None:
        """Delete a standing rule.

        Raises:
            NotFound: It does not exist (code `standing_rule_not_found`).
        """
        missing = NotFound("There is no such standing rule.", code="standing_rule_not_found")
        await delete_row(self._tables, TABLE, (workspace, f"standing!{agent}!{digest}"), None, missing)


_STANDING = JsonCodec(StandingRule)


def _read(row: Row | None) -> Policy:
    return stored_model(Policy, row.text("policy"), "approval policy") if row else Policy()


def _terms(rule: ApprovalRule, *, not_requester: bool) -> ApprovalTerms:
    return ApprovalTerms(rule.approvers, rule.expires_s, rule.on_expiry, not_requester)
