"""An agent: what its owner declared, and what the registry knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lifecycle.registry.audit import AuditEntry
from lifecycle.registry.health import Health
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec, fingerprint

LONGEST_PAUSE = timedelta(seconds=30)
"""Longest that a provider which asks to be left alone keeps an agent from being made, whatever it asks for."""


class AgentState(StrEnum):
    """Where an agent is in its life."""

    REGISTERED = "registered"  # declared, nothing at the provider yet
    PROVISIONING = "provisioning"  # being made at the provider
    ACTIVE = "active"  # there and usable
    IDLE = "idle"  # retired: not run at the provider and in time deleted there, spec kept, back on its next use
    DISABLED = "disabled"  # an operator's kill switch: no run is accepted or started
    FAILED = "failed"  # the last provisioning failed; `failure` says why; the next use tries again
    DELETED = "deleted"  # gone for good; only its name's history is kept


@dataclass(frozen=True, slots=True)
class Failure:
    """Why provisioning failed.

    Attributes:
        code: Stable.
        detail: A sentence.
        retriable: Whether a retry can help.
        operation_id: The operation that failed.
        retry_after_s: How long the provider asked to be left alone, in seconds; None where it did not say.
    """

    code: str
    detail: str
    retriable: bool
    operation_id: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A version that was begun: the provider it is made at, and the fingerprint of its spec."""

    provider: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What is known of an agent.

    Attributes:
        workspace: Workspace it belongs to.
        name: Its name in the workspace.
        state: See AgentState.
        since: When it entered the state, aware UTC.
        revision: The declaration this record reflects; 0 before the first one.
        spec: The spec of that declaration; None before the first one.
        version: Its version at the provider; None when there is none.
        made_from: Fingerprint of the spec the version was made from; empty when there is none.
        superseded: Other versions of it still at the provider, the longest superseded first.
        superseded_since: When the last of them was superseded or asked for by a pinned session.
        intents: Versions begun and not seen finished, for a crash or failure came between; each may be at its provider.
        enabled: False while an operator has it switched off.
        uses: Runs counted by `record_use`.
        last_used: Latest use known here (it may lag by the coalescing window); None before the first.
        created: How many versions were created at the provider for it.
        adopted: How many versions of ours were found there and taken over instead.
        unused: Whether a version was created or taken over and no use was counted since.
        first_uses: How many of the counted uses were the first since a version was created or taken over.
        failure: Why the last provisioning failed; None unless the state is FAILED.
        keep_failure: Why a version that a session is pinned to could not be had; None once it could.
        off: Providers at which it is, or may be, switched off.
        put_away: Whether what it gave up was switched off and archived.
        delete_after: Until when what it gave up is left at the provider; None for at once.
        health: How its provider's side was last found; None before the first look.
        untold: Steps not yet in its audit trail, oldest first.
        applied: Ids of the latest operations, oldest first.
    """

    workspace: str
    name: str
    state: AgentState
    since: datetime
    revision: int = 0
    spec: AgentSpec | None = None
    version: ProviderVersion | None = None
    made_from: str = ""
    superseded: tuple[ProviderVersion, ...] = ()
    superseded_since: datetime | None = None
    intents: tuple[Intent, ...] = ()
    enabled: bool = True
    uses: int = 0
    last_used: datetime | None = None
    created: int = 0
    adopted: int = 0
    unused: bool = False
    first_uses: int = 0
    failure: Failure | None = None
    keep_failure: Failure | None = None
    off: tuple[str, ...] = ()
    put_away: bool = False
    delete_after: datetime | None = None
    health: Health | None = None
    untold: tuple[AuditEntry, ...] = ()
    applied: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the declared spec; empty before the first declaration."""
        return "" if self.spec is None else fingerprint(self.spec)

    @property
    def usable(self) -> bool:
        """Whether runs may use the version: active, and made from the spec as declared now."""
        return self.state is AgentState.ACTIVE and self.made_from == self.fingerprint

    @property
    def reused(self) -> int:
        """How many of the counted uses found a version that had been used before."""
        return self.uses - self.first_uses

    @property
    def holds_versions(self) -> bool:
        """Whether anything of it is, or may be, at a provider."""
        return self.version is not None or bool(self.superseded or self.intents)

    @property
    def retired(self) -> bool:
        """Whether its versions were given up; any it still holds are left over."""
        return self.state in (AgentState.IDLE, AgentState.DELETED)

    def left_alone(self, now: datetime) -> bool:
        """Whether its provider has asked for more time before it is tried again; for LONGEST_PAUSE at most."""
        asked = self.failure.retry_after_s if self.failure else None
        return asked is not None and now < self.since + min(timedelta(seconds=asked), LONGEST_PAUSE)

    @property
    def held(self) -> tuple[ProviderVersion, ...]:
        """Every version it is known to have, the current one last."""
        return (*self.superseded, *((self.version,) if self.version else ()))

    def holding(self, made_from: str) -> ProviderVersion | None:
        """Return its version of this fingerprint that runs may use, the current one or a superseded one, or None."""
        if self.retired or not self.enabled:
            return None
        if self.version is not None and self.made_from == made_from:
            return self.version
        usable = (version for version in reversed(self.superseded) if version.provider not in self.off)
        return next((version for version in usable if version.fingerprint == made_from), None)

    @property
    def idle_since(self) -> datetime | None:
        """Since when prune may take it: unused, or retired with versions left over; None to keep it."""
        if not self.holds_versions or self.state is AgentState.DISABLED:
            return None
        if self.retired:
            return self.since
        if self.spec is not None and retained(self.spec):
            return None
        return max(self.since, self.last_used) if self.last_used else self.since

    def prune_due(self, idle_after: timedelta) -> datetime | None:
        """When prune should look at it, given what counts as idle unless its spec says otherwise; None for never."""
        since = self.idle_since
        if since is None or self.retired:
            return since if since is None or not self.put_away else self.delete_after or since
        own = self.spec.idle_after_s if self.spec else None
        return since + (idle_after if own is None else timedelta(seconds=own))

    def surplus(self, versions_kept: int) -> tuple[ProviderVersion, ...]:
        """Return the superseded versions that are more than the so many latest, the longest superseded first."""
        return () if self.retired else self.superseded[: max(0, len(self.superseded) - versions_kept)]


def same(one: ProviderVersion, other: ProviderVersion) -> bool:
    """Return whether the two are the same version at the same provider, whatever else is noted of them."""
    return (one.provider, one.id) == (other.provider, other.id)


def retained(spec: AgentSpec) -> bool:
    """Return whether its owner wants the agent kept however long it is unused: pinned, or labelled `keep: "true"`."""
    return spec.pinned or spec.labels.get("keep", "").lower() == "true"


def new_record(workspace: str, name: str, now: datetime) -> AgentRecord:
    """Return the record of an agent nobody has declared yet."""
    return AgentRecord(workspace, name, AgentState.REGISTERED, now)
