"""What the API answers of agents' versions, health and history."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from lifecycle.registry.trail import Step
from triggers.views.base import View

if TYPE_CHECKING:
    from lifecycle.registry.versions import HeldVersion


class ProviderVersionView(View):
    """An agent's version at its provider."""

    name: str
    version: str
    id: str
    created_at: datetime


class AgentVersionView(ProviderVersionView):
    """A version of an agent; `current` is the one that runs use unless their session is pinned to another."""

    provider: str
    fingerprint: str
    current: bool
    pinned_sessions: int
    kept_because: str

    @classmethod
    def from_held(cls, held: HeldVersion) -> AgentVersionView:
        """Return the view of a version that the registry holds."""
        version = held.version
        return cls(
            name=version.name,
            version=version.version,
            id=version.id,
            created_at=version.created_at,
            provider=version.provider,
            fingerprint=version.fingerprint,
            current=held.current,
            pinned_sessions=held.pinned,
            kept_because=held.kept_because,
        )


class ProviderHealthView(View):
    """How the provider's side of an agent was last found.

    `verified_at` is when its version was last seen as it was made; `status` is `ok`, `throttled`, `unavailable` or
    `failing`, and `trouble` the code of the provider's last failure, which lasts since `trouble_since`.
    """

    status: str
    looked_at: datetime
    verified_at: datetime | None
    trouble: str
    trouble_since: datetime | None


class RetirementView(View):
    """What becomes of a retired agent's versions: switched off and archived, and deleted by prune after a time."""

    put_away: bool
    delete_after: datetime | None
    versions: int


class RollBack(View):
    """The version to go back (or forward) to, or the revision of the declaration; one of the two."""

    version: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    revision: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.version is None) == (self.revision is None):
            msg = "give either version or revision"
            raise ValueError(msg)
        return self


class StepView(View):
    """A step of an agent's life: what, when, of which version, asked for by whom (empty for the app), and why."""

    at: datetime
    step: Step
    version: str
    by: str
    why: str
