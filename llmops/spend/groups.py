"""What costs are summed by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from llmops.spend.usage import Spend

K = TypeVar("K")


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """What calls are summed by: calls of one group differ only in run, time and amounts."""

    workspace: str
    agent: str
    provider: str
    model: str
    user_id: str
    purpose: str = "answer"

    @property
    def digest(self) -> str:
        """What names the group within its workspace in keys, which may not hold what names of models do."""
        text = f"{self.agent}\n{self.provider}\n{self.model}\n{self.user_id}\n{self.purpose}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def add_up(parts: Iterable[tuple[K, Spend]]) -> dict[K, Spend]:
    """Return the total of every key."""
    totals: dict[K, Spend] = {}
    for key, spend in parts:
        totals[key] = totals.get(key, Spend()) + spend
    return totals
