"""The groups that costs are summed by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from llmops.spend.usage import Spend

K = TypeVar("K")


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """The key of a cost sum: calls of one group differ only in run, time and amounts."""

    workspace: str
    agent: str
    provider: str
    model: str
    user_id: str
    purpose: str = "answer"

    @property
    def digest(self) -> str:
        """Identifies the group within its workspace in row keys, which cannot hold every character of a model name."""
        text = f"{self.agent}\n{self.provider}\n{self.model}\n{self.user_id}\n{self.purpose}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def add_up(parts: Iterable[tuple[K, Spend]]) -> dict[K, Spend]:
    """Return the sum for every key."""
    totals: dict[K, Spend] = {}
    for key, spend in parts:
        totals[key] = totals.get(key, Spend()) + spend
    return totals
