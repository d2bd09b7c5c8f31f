"""Health of an agent at its provider: when its version was last verified, and the provider's failures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

_STATUS = {"provider_throttled": "throttled", "provider_unavailable": "unavailable"}


@dataclass(frozen=True, slots=True)
class Health:
    """Health of an agent at its provider, as last observed by its actor.

    Attributes:
        looked_at: When the provider was last asked, with any result, aware UTC.
        verified_at: When its version was last seen unchanged, aware UTC; None for never.
        trouble: Code of the provider's last failure; empty after a success.
        trouble_since: When the first of the failures in a row was, aware UTC.
    """

    looked_at: datetime
    verified_at: datetime | None = None
    trouble: str = ""
    trouble_since: datetime | None = None

    @property
    def status(self) -> str:
        """The provider's status: `ok`, `throttled`, `unavailable`, or `failing` for anything else."""
        return _STATUS.get(self.trouble, "failing") if self.trouble else "ok"


def seen_intact(now: datetime) -> Health:
    """Return the health after the version was made or seen unchanged."""
    return Health(now, verified_at=now)


def answered(health: Health | None, now: datetime) -> Health:
    """Return the health after another success of the provider, which tells nothing about the version."""
    return Health(now, verified_at=health.verified_at if health else None)


def degraded(health: Health | None, code: str, now: datetime) -> Health:
    """Return the health after the provider failed."""
    before = health or Health(now)
    return replace(before, looked_at=now, trouble=code, trouble_since=before.trouble_since or now)
