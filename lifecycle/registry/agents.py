"""An agent: what its owner declared, and what the registry knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lifecycle.configuration.specs import AgentSpec, fingerprint
from lifecycle.registry.providers import ProviderVersion


class AgentState(StrEnum):
    """Where an agent is in its life."""

    REGISTERED = "registered"  # declared, nothing at the provider yet
    PROVISIONING = "provisioning"  # being made at the provider
    ACTIVE = "active"  # there and usable
    IDLE = "idle"  # retired: gone at the provider, spec kept, back on its next use
    DISABLED = "disabled"  # an operator's kill switch: no run is accepted or started
    FAILED = "failed"  # the last provisioning failed; `failure` says why; the next use tries again
    DELETED = "deleted"  # gone for good; only its name's history is kept


@dataclass(frozen=True, slots=True)
class Failure:
    """Why provisioning failed: a stable code, a sentence, whether a retry can help, and the operation that failed."""

    code: str
    detail: str
    retriable: bool
    operation_id: str


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
        superseded: Earlier versions still at the provider, oldest first.
        intents: Versions begun and not seen finished, for a crash or failure came between; each may be at its provider.
        enabled: False while an operator has it switched off.
        uses: Runs counted by `record_use`.
        last_used: Latest use known here (it may lag by the coalescing window); None before the first.
        created: How many versions were created at the provider for it.
        adopted: How many versions of ours were found there and taken over instead.
        failure: Why the last provisioning failed; None unless the state is FAILED.
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
    intents: tuple[Intent, ...] = ()
    enabled: bool = True
    uses: int = 0
    last_used: datetime | None = None
    created: int = 0
    adopted: int = 0
    failure: Failure | None = None
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
    def holds_versions(self) -> bool:
        """Whether anything of it is, or may be, at a provider."""
        return self.version is not None or bool(self.superseded or self.intents)

    @property
    def retired(self) -> bool:
        """Whether its versions were given up; any it still holds are left over."""
        return self.state in (AgentState.IDLE, AgentState.DELETED)

    @property
    def idle_since(self) -> datetime | None:
        """Since when prune may take it: unused, or retired with versions left over; None to keep it."""
        if not self.holds_versions or self.state is AgentState.DISABLED:
            return None
        if self.retired:
            return self.since
        if self.spec is not None and self.spec.pinned:
            return None
        return max(self.since, self.last_used) if self.last_used else self.since

    def prune_due(self, idle_after: timedelta) -> datetime | None:
        """When prune should look at it, given what counts as idle unless its spec says otherwise; None for never."""
        since = self.idle_since
        if since is None or self.retired:
            return since
        own = self.spec.idle_after_s if self.spec else None
        return since + (idle_after if own is None else timedelta(seconds=own))


def blank(workspace: str, name: str, now: datetime) -> AgentRecord:
    """Return the record of an agent nobody has declared yet."""
    return AgentRecord(workspace, name, AgentState.REGISTERED, now)
