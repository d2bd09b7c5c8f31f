"""What providers have in common whose agents live in their specs: nothing of an agent is kept where its model is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from kernel.clock import Clock
from lifecycle.registry.providers import Found, ProviderVersion, Wanted


class InSpec:
    """The part of `AgentProvider` that is the same for them: there is nothing to make, find or delete."""

    def __init__(self, kind: str, clock: Clock) -> None:
        """Set what the ids of versions begin with, and what tells when they were made."""
        self._kind = kind
        self._clock = clock

    async def find(self, wanted: Wanted) -> Sequence[ProviderVersion]:
        """Return none: the endpoint keeps no agents, so there is never one to adopt."""
        return ()

    async def create(self, wanted: Wanted) -> ProviderVersion:
        """Return the version that the spec's fingerprint names; no I/O, and the same for the same spec."""
        version = wanted.fingerprint[:12]
        return ProviderVersion(
            wanted.name,
            version,
            f"{self._kind}:{wanted.name}:{version}",
            self._clock(),
            owner=wanted.owner,
            fingerprint=wanted.fingerprint,
        )

    async def delete(self, version: ProviderVersion) -> None:
        """Do nothing: there is nothing at the endpoint to delete."""

    async def exists(self, version: ProviderVersion) -> bool:
        """Return True: what lives in its spec cannot get lost at the endpoint."""
        return True

    async def inventory(self, owner: str) -> AsyncIterator[Found]:
        """Yield nothing: the endpoint keeps no agents."""
        for nothing in ():
            yield nothing

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        """Return None: the endpoint holds nothing of an agent."""
        return None

    async def disable(self, name: str, owner: str) -> bool:
        """Return False: the endpoint has no switch for what it does not know."""
        return False

    async def enable(self, name: str) -> None:
        """Do nothing: there is no switch."""

    async def conversation(self, version: ProviderVersion, session_key: str, known: str | None) -> str | None:
        """Return None: every run is given its history."""
        return None

    async def forget_conversation(self, conversation: str) -> None:
        """Do nothing: there are no conversations."""
