"""An agent's versions with the reason why each is kept, their specs, and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import Clock, rfc3339
from kernel.errors import Conflict, NotFound
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.agent_history import AgentHistory, line_key
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec, fingerprint

if TYPE_CHECKING:
    from lifecycle.registry.agent_checks_due import RetentionPolicy
    from lifecycle.registry.audit import AuditEntry
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.prune import PinnedSessions
    from lifecycle.registry.record import AgentRecord


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version at the provider.

    Attributes:
        version: The version.
        current: Whether it is the version of runs whose session is not pinned.
        pinned: Number of open sessions pinned to it.
        kept_because: Why it is not deleted, or when it will be.
    """

    version: ProviderVersion
    current: bool
    pinned: int
    kept_because: str


def stored_versions(
    record: AgentRecord, pinned: Mapping[str, int], look_after: RetentionPolicy, now: datetime
) -> Sequence[StoredVersion]:
    """Return the versions in the record, newest first.

    Args:
        record: The agent's record.
        pinned: Number of open sessions pinned to a version, by its fingerprint.
        look_after: How many versions are kept, and for how long.
        now: The time.
    """
    surplus = record.surplus(look_after.versions_kept)
    in_use_until = (record.superseded_since or record.since) + look_after.superseded

    def why(version: ProviderVersion) -> str:
        if version is record.version:
            return "current"
        if record.retired:
            return f"retired: deleted after {rfc3339(record.delete_after)}" if record.delete_after else "retired"
        if sessions := pinned.get(version.fingerprint):
            return f"pinned by {sessions} session(s)"
        if version not in surplus:
            return f"among the last {look_after.versions_kept} superseded"
        return "a run may still use it" if in_use_until > now else "deleted by the next prune"

    return [
        StoredVersion(version, version is record.version, pinned.get(version.fingerprint, 0), why(version))
        for version in reversed(record.held)
    ]


class Versions:
    """Reads an agent's versions and history."""

    def __init__(
        self, catalog: Catalog, history: AgentHistory, pinned: PinnedSessions, look_after: RetentionPolicy, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._history = history
        self._pinned = pinned
        self._look_after = look_after
        self._clock = clock

    async def stored(self, workspace: str, name: str) -> Sequence[StoredVersion]:
        """Return the agent's versions at its provider, newest first.

        Raises:
            NotFound: The agent does not exist.
        """
        record = (await self._catalog.get(workspace, name)).record
        if record is None or not record.held:
            return ()
        return stored_versions(record, await self._pinned(workspace, name), self._look_after, self._clock())

    async def made_from(self, workspace: str, name: str, version: str) -> AgentSpec:
        """Return the spec of the version with this label; of several with the label, the newest.

        Raises:
            NotFound: The agent does not exist, or has no such version.
            Conflict: The version's declaration is too old to be stored (code `version_spec_unknown`).
        """
        agent = await self._catalog.get(workspace, name)
        had = list(reversed(agent.record.held)) if agent.record else []
        found = next((each for each in had if each.version == version), None)
        if found is None:
            archived = [each.version for each in await self._history.archived(workspace, name)]
            found = next((each for each in archived if each.version == version), None)
        if found is None:
            msg = f"Agent {name!r} has no version {version!r}."
            raise NotFound(msg, code="version_not_found")
        specs = [agent.declaration.spec, *(each.spec for each in await self._history.declarations(workspace, name))]
        for spec in specs:
            if fingerprint(spec) == found.fingerprint:
                return spec
        msg = f"Version {version!r} was declared too long ago: its spec is no longer kept. Declare it again."
        raise Conflict(msg, code="version_spec_unknown")

    async def declared_as(self, workspace: str, name: str, revision: int) -> AgentSpec:
        """Return the spec of the revision.

        Raises:
            NotFound: The agent does not exist, has no such revision, or the revision is too old to be stored.
        """
        agent = await self._catalog.get(workspace, name)
        if agent.declaration.revision == revision:
            return agent.declaration.spec
        for earlier in await self._history.declarations(workspace, name):
            if earlier.revision == revision:
                return earlier.spec
        msg = f"Agent {name!r} has no revision {revision} that is still kept."
        raise NotFound(msg, code="revision_not_found")

    async def audit(
        self, workspace: str, name: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[AuditEntry], str | None]:
        """Return up to `limit` audit entries, newest first, and the key to continue after; None at the end.

        Raises:
            NotFound: The agent was never declared; a deleted one's trail is kept.
        """
        agent = await self._catalog.find(workspace, name)
        if agent is None:
            msg = f"There is no agent {name!r}."
            raise NotFound(msg, code="agent_not_found")
        stored = await self._history.audit(workspace, name, limit + 1, after)
        lines = {line_key(line): line for line in (*_unpublished_entries(agent), *stored)}
        keys = sorted(key for key in lines if after is None or key > f"audit!{after}")
        shown = keys[:limit]
        more = len(keys) > limit
        return [lines[key] for key in shown], shown[-1].removeprefix("audit!") if more else None


def _unpublished_entries(agent: Agent) -> Sequence[AuditEntry]:
    """Return the audit entries that are still in the agent's own rows."""
    return (agent.declaration.audit_entry, *(agent.record.unpublished if agent.record else ()))
