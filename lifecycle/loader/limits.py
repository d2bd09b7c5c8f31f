"""Limits of a loader's settings."""

from __future__ import annotations

from collections.abc import Mapping

from kernel.errors import InvalidInput
from lifecycle.loader.policies import POLICIES


def check_limits(
    max_active: int, max_total: int, threshold: float, interval_s: float, share: float, policy: str
) -> None:
    """Check a loader's settings.

    Raises:
        InvalidInput: Some are out of bounds; `fields` names them.
    """
    wrong: Mapping[str, tuple[bool, str]] = {
        "max_active_agents": (max_active >= 1, "must be at least 1"),
        "max_total_configurations": (max_total >= 1, "must be at least 1"),
        "preload_threshold": (0 <= threshold <= 1, "must be from 0 to 1"),
        "cleanup_interval": (0 < interval_s <= 366 * 86_400, "must be above 0 and at most 366 days"),
        "preload_share": (0 <= share <= 1, "must be from 0 to 1"),
        "policy": (policy in POLICIES, f"must be one of {', '.join(POLICIES)}"),
    }
    fields = {f"/{name}": text for name, (right, text) in wrong.items() if not right}
    if fields:
        msg = "The loader's settings are not valid: " + "; ".join(f"{at[1:]} {text}" for at, text in fields.items())
        raise InvalidInput(msg, code="invalid_setting", fields=fields)
