"""The registry's record of an agent, with its health at the provider.

Health: when its version was last verified, and the provider's failures.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.lazy_dataclass import dataclass
from lifecycle.registry.audit import AuditEntry
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec, fingerprint

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


LONGEST_PAUSE = timedelta(seconds=30)
"""Longest time that a throttling provider delays the next try to create an agent, whatever it asks for."""


class AgentState(StrEnum):
    """State of an agent."""

    REGISTERED = "registered"  # declared, not created at the provider yet
    PROVISIONING = "provisioning"  # being created at the provider
    ACTIVE = "active"  # created and usable
    IDLE = "idle"  # retired: versions are deleted in time; restored on its next use
    DISABLED = "disabled"  # disabled by an operator: no run is accepted or started
    FAILED = "failed"  # the last provisioning failed, see `failure`; the next use tries again
    DELETED = "deleted"  # deleted for good; only its history is kept


@dataclass(frozen=True, slots=True)
class Failure:
    """Why provisioning failed.

    Attributes:
        code: Stable code.
        detail: A sentence.
        retriable: Whether a retry can help.
        operation_id: Id of the operation that failed.
        retry_after_s: Seconds after which the provider asks to be called again; None if it gave none.
    """

    code: str
    detail: str
    retriable: bool
    operation_id: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A version whose creation was begun: its provider and its spec's fingerprint."""

    provider: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """The registry's record of an agent.

    Attributes:
        workspace: Workspace it belongs to.
        name: Its name in the workspace.
        state: See `AgentState`.
        since: When it entered the state, aware UTC.
        revision: Revision of the declaration that it reflects; 0 before the first.
        spec: That declaration's spec; None before the first.
        version: Its version at the provider; None if there is none.
        made_from: Fingerprint of the version's spec; empty if there is no version.
        superseded: Its other versions at the provider, oldest superseded first.
        superseded_since: When the last of them was superseded, or requested by a pinned session.
        intents: Creations begun and not known to be finished, because of a crash or failure; each version may exist.
        enabled: False while an operator has it switched off.
        uses: Runs counted by `record_use`.
        last_used: Latest known use (may lag by the batching interval); None before the first.
        created: How many versions were created for it.
        adopted: How many existing versions were used instead.
        unused: Whether no use was counted since a version was created or adopted.
        first_uses: How many of the counted uses were the first of a version.
        failure: Why the last provisioning failed; None unless the state is FAILED.
        keep_failure: Why a version for a pinned session could not be created; None after a success.
        off: Providers at which it is, or may be, disabled.
        archived: Whether the versions of the retired agent were disabled and archived.
        delete_after: When the versions of the retired agent are deleted; None for at once.
        health: Its health at the provider; None before the first check.
        unpublished: Audit entries not yet in its audit trail, oldest first.
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
    archived: bool = False
    delete_after: datetime | None = None
    health: Health | None = None
    unpublished: tuple[AuditEntry, ...] = ()
    applied: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the declared spec; empty before the first declaration."""
        return "" if self.spec is None else fingerprint(self.spec)

    @property
    def usable(self) -> bool:
        """Whether runs may use the version: active, and made from the declared spec."""
        return self.state is AgentState.ACTIVE and self.made_from == self.fingerprint

    @property
    def reused(self) -> int:
        """How many of the counted uses were not the first of a version."""
        return self.uses - self.first_uses

    @property
    def holds_versions(self) -> bool:
        """Whether versions of it exist, or may exist, at a provider."""
        return self.version is not None or bool(self.superseded or self.intents)

    @property
    def retired(self) -> bool:
        """Whether its versions were given up; those it still has are to be deleted."""
        return self.state in (AgentState.IDLE, AgentState.DELETED)

    def left_alone(self, now: datetime) -> bool:
        """Return whether its provider asked to wait with the next try; for at most LONGEST_PAUSE."""
        asked = self.failure.retry_after_s if self.failure else None
        return asked is not None and now < self.since + min(timedelta(seconds=asked), LONGEST_PAUSE)

    @property
    def held(self) -> tuple[ProviderVersion, ...]:
        """All known versions, the current one last."""
        return (*self.superseded, *((self.version,) if self.version else ()))

    def holding(self, made_from: str) -> ProviderVersion | None:
        """Return its usable version of this fingerprint, current or superseded; None if there is none."""
        if self.retired or not self.enabled:
            return None
        if self.version is not None and self.made_from == made_from:
            return self.version
        usable = (version for version in reversed(self.superseded) if version.provider not in self.off)
        return next((version for version in usable if version.fingerprint == made_from), None)

    @property
    def idle_since(self) -> datetime | None:
        """Since when prune may act on it: unused, or retired with versions left; None to keep it."""
        if not self.holds_versions or self.state is AgentState.DISABLED:
            return None
        if self.retired:
            return self.since
        if self.spec is not None and retained(self.spec):
            return None
        return max(self.since, self.last_used) if self.last_used else self.since

    def prune_due(self, idle_after: timedelta) -> datetime | None:
        """When prune should check it; `idle_after` applies unless its spec sets another time; None for never."""
        since = self.idle_since
        if since is None or self.retired:
            return since if since is None or not self.archived else self.delete_after or since
        own = self.spec.idle_after_s if self.spec else None
        return since + (idle_after if own is None else timedelta(seconds=own))

    def surplus(self, versions_kept: int) -> tuple[ProviderVersion, ...]:
        """Return the superseded versions except the `versions_kept` latest, oldest superseded first."""
        return () if self.retired else self.superseded[: max(0, len(self.superseded) - versions_kept)]


def same(one: ProviderVersion, other: ProviderVersion) -> bool:
    """Return whether both are the same version at the same provider, whatever their other fields."""
    return (one.provider, one.id) == (other.provider, other.id)


def retained(spec: AgentSpec) -> bool:
    """Return whether its owner wants the agent kept although unused: pinned, or labelled `keep: "true"`."""
    return spec.pinned or spec.labels.get("keep", "").lower() == "true"


def new_record(workspace: str, name: str, now: datetime) -> AgentRecord:
    """Return the record of an agent that is not declared yet."""
    return AgentRecord(workspace, name, AgentState.REGISTERED, now)
