"""Which tool calls need an approval, as specs and a workspace's policy say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from lifecycle.specs.hosted_tools import Mcp
from lifecycle.specs.servers import local_name
from lifecycle.tools.conditions import MAX_LENGTH, check_condition, holds

OnExpiry = Literal["reject", "escalate", "keep"]
LINK = "link"
"""Among approvers: whoever has the link that the notification carries."""

Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.*?-]{1,128}$")]
Approver = Annotated[str, StringConstraints(pattern=r"^(?:link|(?:user|role|group):[^\s:][^\n]{0,255})$")]
Condition = Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(check_condition)]


class ApprovalRule(BaseModel):
    """Tool calls that need an approval, and on what terms it is decided.

    Attributes:
        tools: Names of tools; `*` and `?` stand for any characters, and any one.
        when: A condition in CEL over the call's arguments, like `amount > 100`; None for every call.
        approvers: Who may decide, level by level: `user:…`, `role:…`, `group:…`, or `link` for whoever has the link of
            the notification; none for anybody in the workspace.
        expires_s: Seconds that each level has to decide.
        on_expiry: What then: `reject` the call, `escalate` to the next level and reject after the last, or `keep`
            waiting.
        not_requester: Whether whoever asked the agent may not decide.
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
        """Return whether a call needs an approval by this rule."""
        named = any(fnmatchcase(tool, pattern) for pattern in self.tools)
        return named and (self.when is None or holds(self.when, arguments))


def covering(rules: Sequence[ApprovalRule], tool: str, arguments: Mapping[str, Any]) -> ApprovalRule | None:
    """Return the first rule by which a call needs an approval; None where none says so."""
    return next((rule for rule in rules if rule.covers(tool, arguments)), None)


def unasked(rules: Sequence[ApprovalRule], servers: Sequence[Mcp]) -> Mcp | None:
    """Return a server whose tools the rules could cover, but whose provider calls them without asking; None for none.

    What a version was made with says whether the provider asks, and rules can change after that.
    """
    patterns = [pattern for rule in rules for pattern in rule.tools]
    return next(
        (one for one in servers if not one.asks and any(_could_name(pattern, one) for pattern in patterns)), None
    )


def unasked_because(server: Mcp) -> str:
    """Return what is to be done about such a server."""
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
