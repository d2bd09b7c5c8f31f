"""Approval rules of specs and of a workspace's policy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from lifecycle.specs.servers import local_name
from lifecycle.tools.argument_conditions import MAX_LENGTH, check_condition, holds

if TYPE_CHECKING:
    from lifecycle.specs.hosted_tools import Mcp

OnExpiry = Literal["reject", "escalate", "keep"]
LINK = "link"
"""Entry of approvers that allows the holder of the notification's link to decide."""

Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.*?-]{1,128}$")]
Approver = Annotated[str, StringConstraints(pattern=r"^(?:link|(?:user|role|group):[^\s:][^\n]{0,255})$")]
Condition = Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(check_condition)]


class ApprovalRule(BaseModel):
    """Which tool calls need an approval, who may decide, and within which time.

    Attributes:
        tools: Patterns of tools' names; `*` stands for any characters, `?` for one.
        when: A condition in CEL over the call's arguments, like `amount > 100`; None for every call.
        approvers: Who may decide, by level: `user:…`, `role:…`, `group:…`, or `link` for the holder of the
            notification's link; empty for anybody in the workspace.
        expires_s: Seconds until each level expires.
        on_expiry: What happens then: `reject` the call, `escalate` to the next level and reject after the last, or
            `keep` waiting.
        not_requester: Whether the user who asked the agent may not decide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    tools: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=64)]
    when: Condition | None = None
    approvers: Annotated[
        tuple[Annotated[tuple[Approver, ...], Field(min_length=1, max_length=32)], ...], Field(max_length=5)
    ] = ()
    expires_s: int = Field(default=86_400, ge=1, le=31_536_000, strict=True)
    on_expiry: OnExpiry = "reject"
    not_requester: StrictBool = False

    def covers(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        """Return whether the rule demands an approval for a call."""
        named = any(fnmatchcase(tool, pattern) for pattern in self.tools)
        return named and (self.when is None or holds(self.when, arguments))


def covering(rules: Sequence[ApprovalRule], tool: str, arguments: Mapping[str, Any]) -> ApprovalRule | None:
    """Return the first rule that demands an approval for a call; None if none does."""
    return next((rule for rule in rules if rule.covers(tool, arguments)), None)


def unasked(rules: Sequence[ApprovalRule], servers: Sequence[Mcp]) -> Mcp | None:
    """Return a server whose tools the rules could match, but whose provider calls them without asking; None for none.

    Whether the provider asks is part of the version; rules can change after it was created.
    """
    patterns = [pattern for rule in rules for pattern in rule.tools]
    return next(
        (one for one in servers if not one.asks and any(_could_name(pattern, one) for pattern in patterns)), None
    )


def unasked_because(server: Mcp) -> str:
    """Return what has to be changed about such a server, for people to read."""
    return (
        f"the provider calls the tools of the MCP server {server.server_label!r} without asking, but a rule demands "
        'approvals: give it an \'approval\'; {"when": "false"} leaves it to the rules'
    )


def _could_name(pattern: str, server: Mcp) -> bool:
    if server.allowed_tools:
        return any(fnmatchcase(local_name(server.server_label, tool), pattern) for tool in server.allowed_tools)
    prefix = local_name(server.server_label, "")
    literal = re.split(r"[*?]", pattern, maxsplit=1)[0]
    return literal.startswith(prefix) or (literal != pattern and prefix.startswith(literal))
