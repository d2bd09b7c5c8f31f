"""Whether the agent and channels that an alert rule names exist: a rule with a missing one notifies nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.alerts.alert_rules import AlertRule
    from llmops.notifications.channels import Channel, ChannelStore

AgentExists = Callable[[str, str], Awaitable[bool]]
"""Returns whether the workspace has an agent of that name."""


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """The channels a rule notifies, and what it names that does not exist.

    Attributes:
        recipients: Names of the channels it is sent to.
        missing: JSON pointers to the names in the rule that do not exist; the rule is misconfigured if there are any.
    """

    recipients: Sequence[str]
    missing: Mapping[str, str]


class References:
    """Checks whether the agent and channels that rules name exist."""

    def __init__(self, channels: ChannelStore, agent_exists: AgentExists) -> None:
        self._channels = channels
        self._agent_exists = agent_exists

    async def check(self, workspace: str, rule: AlertRule) -> None:
        """Check that the agent and channels of a rule exist.

        Raises:
            InvalidInput: `unknown_reference`: at least one does not; the error lists which.
        """
        (aim,) = await self.targets(workspace, [rule])
        if aim.missing:
            msg = "The rule names an agent or a channel that does not exist in the workspace."
            raise InvalidInput(msg, code="unknown_reference", fields=aim.missing)

    async def targets(self, workspace: str, rules: Sequence[AlertRule]) -> Sequence[AlertTarget]:
        """Return the target of each rule, in order."""
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
