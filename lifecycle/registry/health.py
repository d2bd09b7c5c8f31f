"""What is known of an agent's provider side: when it was last seen intact, and whether the provider is in trouble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

_STATUS = {"provider_throttled": "throttled", "provider_unavailable": "unavailable"}


@dataclass(frozen=True, slots=True)
class Health:
    """How the agent was found when its actor last dealt with the provider.

    Attributes:
        looked_at: When that was, whatever came of it, aware UTC.
        verified_at: When its version was last seen there as it was made; None for never.
        trouble: The code of the provider's last failure; empty once it has done what it was asked.
        trouble_since: When the first of these failures in a row was.
    """

    looked_at: datetime
    verified_at: datetime | None = None
    trouble: str = ""
    trouble_since: datetime | None = None

    @property
    def status(self) -> str:
        """The provider's side in one word: `ok`, `throttled`, `unavailable`, or `failing` for anything else."""
        return _STATUS.get(self.trouble, "failing") if self.trouble else "ok"


def seen_intact(now: datetime) -> Health:
    """Return the health of an agent whose version was just made, or found as it was made."""
    return Health(now, verified_at=now)


def answered(health: Health | None, now: datetime) -> Health:
    """Return the health after the provider did what it was asked, which says nothing of the version."""
    return Health(now, verified_at=health.verified_at if health else None)


def degraded(health: Health | None, code: str, now: datetime) -> Health:
    """Return the health after the provider failed."""
    before = health or Health(now)
    return replace(before, looked_at=now, trouble=code, trouble_since=before.trouble_since or now)
