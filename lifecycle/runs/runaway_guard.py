"""Stops runaway runs: those that repeat a tool call, or spend too fast."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING

from kernel.errors import RunFailed
from kernel.lazy_dataclass import dataclass
from kernel.money import format_usd

if TYPE_CHECKING:
    from lifecycle.specs.spending import Runaway

LOOP = "runaway_loop"
SPEND = "runaway_spend"
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """When a run counts as runaway.

    Attributes:
        same_tool_calls: Most calls of one tool with the same arguments in one attempt; 0 for no limit.
        micro_usd_per_minute: Most that a run may spend within a minute, in millionths of a USD; 0 for no limit.
    """

    same_tool_calls: int
    micro_usd_per_minute: int

    def of(self, own: Runaway | None) -> GuardPolicy:
        """Return the policy with an agent's own limits in place of the app's."""
        if own is None:
            return self
        calls, usd = own.same_tool_calls, own.usd_per_minute
        return GuardPolicy(
            self.same_tool_calls if calls is None else calls,
            self.micro_usd_per_minute if usd is None else round(usd * 1_000_000),
        )


class Guard:
    """Stops an attempt that repeats a tool call or spends too fast."""

    def __init__(self, policy: GuardPolicy) -> None:
        self._policy = policy
        self._calls: Counter[str] = Counter()
        self._spent: deque[tuple[float, int]] = deque()

    def called(self, tool: str, arguments: object) -> None:
        """Count a call of the tool.

        Raises:
            RunFailed: The tool was called too often with these arguments.
        """
        most = self._policy.same_tool_calls
        same = json.dumps([tool, arguments], sort_keys=True, default=str)
        self._calls[same] += 1
        if most and self._calls[same] > most:
            msg = f"The run was stopped: it called the tool {tool!r} with the same arguments more than {most} times."
            raise RunFailed(msg, code=LOOP)

    def spent(self, micro_usd: int, at_s: float) -> None:
        """Add the cost of a call, in millionths of a USD, at a time on a monotonic clock, in seconds."""
        self._spent.append((at_s, micro_usd))

    def check(self, now_s: float) -> None:
        """Check the spend within the last minute.

        Raises:
            RunFailed: It exceeds the limit.
        """
        while self._spent and self._spent[0][0] <= now_s - _MINUTE_S:
            self._spent.popleft()
        most, total = self._policy.micro_usd_per_minute, sum(cost for _, cost in self._spent)
        if most and total > most:
            msg = f"The run was stopped: it spent {format_usd(total)} within a minute; {format_usd(most)} are allowed."
            raise RunFailed(msg, code=SPEND)
