"""Limits of a loader's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernel.errors import InvalidInput
from lifecycle.loader.cache_plan import INACTIVE_AFTER_S
from lifecycle.loader.eviction_policies import POLICIES
from lifecycle.loader.usage_statistics import LearningRules

_YEAR_S = 366 * 86_400.0
_A_SHARE = "must be from 0 to 1"
_A_TIME = "must be above 0 and at most 366 days"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderNumbers:
    """Numbers of a `LazyAgentLoader` that most leave as they are.

    Attributes:
        learning: How uses are made into priorities and companions.
        companion_share: A companion is preloaded if it is used after the agent at least so often, 0-1.
        inactive_after_s: An agent that was not used for so long is let go of.
        retention_s: How long an agent's activity is kept after its last use.
        unused_after_s: A preloaded agent that nobody has used for so long was preloaded in vain.
        known: Most agents whose activity is kept, those used most.
        save_every: Uses after which the activity is saved: a process that is killed loses so many at most.
    """

    learning: LearningRules = field(default_factory=LearningRules)
    companion_share: float = 0.3
    inactive_after_s: float = INACTIVE_AFTER_S
    retention_s: float = 30 * 86_400.0
    unused_after_s: float = 3600.0
    known: int = 2048
    save_every: int = 500


def check_limits(
    max_active: int, max_total: int, threshold: float, interval_s: float, share: float, policy: str
) -> None:
    """Check a loader's settings.

    Raises:
        InvalidInput: Some are out of bounds; `fields` names them.
    """
    _refuse(
        {
            "max_active_agents": (max_active >= 1, "must be at least 1"),
            "max_total_configurations": (max_total >= 1, "must be at least 1"),
            "preload_threshold": (0 <= threshold <= 1, _A_SHARE),
            "cleanup_interval": (0 < interval_s <= _YEAR_S, _A_TIME),
            "preload_share": (0 <= share <= 1, _A_SHARE),
            "policy": (policy in POLICIES, f"must be one of {', '.join(POLICIES)}"),
        }
    )


def check_numbers(numbers: LoaderNumbers) -> None:
    """Check the other numbers of a loader, like `check_limits`."""
    learning = numbers.learning
    times = {
        "inactive_after_s": numbers.inactive_after_s,
        "retention_s": numbers.retention_s,
        "unused_after_s": numbers.unused_after_s,
        "learning/half_life_s": learning.half_life_s,
        "learning/recency_half_life_s": learning.recency_half_life_s,
        "learning/together_s": learning.together_s,
    }
    rules: dict[str, tuple[bool, str]] = {name: (0 < value <= _YEAR_S, _A_TIME) for name, value in times.items()}
    rules |= {
        "companion_share": (0 <= numbers.companion_share <= 1, _A_SHARE),
        "known": (1 <= numbers.known <= 100_000, "must be from 1 to 100000"),
        "save_every": (numbers.save_every >= 1, "must be at least 1"),
        "learning/weights": (_are_weights(learning.weights), "must be three shares that add up to 1"),
        "learning/companions": (0 <= learning.companions <= 100, "must be from 0 to 100"),
    }
    _refuse({f"numbers/{name}": rule for name, rule in rules.items()})


def _refuse(wrong: Mapping[str, tuple[bool, str]]) -> None:
    fields = {f"/{name}": text for name, (right, text) in wrong.items() if not right}
    if fields:
        msg = "The loader's settings are not valid: " + "; ".join(f"{at[1:]} {text}" for at, text in fields.items())
        raise InvalidInput(msg, code="invalid_setting", fields=fields)


def _are_weights(weights: tuple[float, ...]) -> bool:
    return len(weights) == 3 and all(0 <= one <= 1 for one in weights) and abs(sum(weights) - 1) <= 1e-6
