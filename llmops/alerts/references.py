"""Whether what rules name is there: a rule on an agent that is not, or to a channel that is not, tells nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from kernel.errors import InvalidInput
from llmops.alerts.rules import AlertRule
from llmops.notifications.channels import Channel, ChannelStore

AgentExists = Callable[[str, str], Awaitable[bool]]
"""Returns whether a workspace has an agent of that name."""


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """Whom a rule reaches.

    Attributes:
        recipients: The channels it is told to, by name.
        missing: What it names and is not there, by JSON pointer; a rule of which there is any is misconfigured.
    """

    recipients: Sequence[str]
    missing: Mapping[str, str]


class References:
    """Looks whether what rules name is there."""

    def __init__(self, channels: ChannelStore, agent_exists: AgentExists) -> None:
        self._channels = channels
        self._agent_exists = agent_exists

    async def check(self, workspace: str, rule: AlertRule) -> None:
        """Check that what the rule names is there.

        Raises:
            InvalidInput: `unknown_reference`: it is not; the fields say what.
        """
        (aim,) = await self.targets(workspace, [rule])
        if aim.missing:
            msg = "The rule names what the workspace does not have."
            raise InvalidInput(msg, code="unknown_reference", fields=aim.missing)

    async def targets(self, workspace: str, rules: Sequence[AlertRule]) -> Sequence[AlertTarget]:
        """Return whom each of the rules reaches."""
        agents = sorted({rule.agent for rule in rules if rule.agent is not None and not rule.of_several})
        channels, found = await asyncio.gather(
            self._channels.list(workspace),
            asyncio.gather(*(self._agent_exists(workspace, agent) for agent in agents)),
        )
        unknown = {agent for agent, exists in zip(agents, found, strict=True) if not exists}
        return [_aim(rule, channels, unknown) for rule in rules]


def _aim(rule: AlertRule, channels: Sequence[Channel], unknown: set[str]) -> AlertTarget:
    names = [channel.name for channel in channels]
    missing: dict[str, str] = {}
    if rule.agent in unknown:
        missing["/agent"] = "there is no such agent; a name that ends in * is of agents that come later, too"
    for number, name in enumerate(rule.channels):
        if name not in names:
            missing[f"/channels/{number}"] = f"there is no such channel; there are: {', '.join(names) or 'none'}"
    wanted = [channel.name for channel in channels if channel.wants("alert.fired", rule.channels)]
    return AlertTarget(wanted, missing)
