"""Storage of teams; with versions, ETags and history by the configuration store."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from kernel.errors import Conflict, InvalidInput, NotFound
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.configuration.kinds import Kind, Ref, item_name
from lifecycle.specs.team import SUMMARIZER_HAS_TOOLS, Team
from lifecycle.teams.member_workload import TABLE, Seats

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore
    from lifecycle.registry.catalog import Catalog
    from lifecycle.teams.waiting_session_indexes import Inbox

_MOST_NAMED = 20
_TRUSTED = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TeamItem:
    """A team as stored.

    Attributes:
        name: Its name.
        team: Its spec.
        version: Number of its changes, from 1.
        updated_at: When this version was stored, aware UTC.
    """

    name: str
    team: Team
    version: int
    updated_at: datetime | None

    @property
    def etag(self) -> str:
        """The version, as an HTTP entity tag."""
        return f'"{self.version}"'


class Memberships:
    """Which teams an agent is a member of.

    Table `teams`, partition `{workspace}`, row `agent!{agent}!{team}`. It is written before the team is; outdated rows
    are removed when they are read.
    """

    def __init__(self, tables: Tables, items: ConfigurationStore, clock: Clock) -> None:
        self._tables = tables
        self._items = items
        self._clock = clock
        self._without: dict[str, datetime] = {}

    async def enter(self, workspace: str, team: str, agents: Sequence[str]) -> None:
        """Enter the agents of a team that is about to be stored."""
        self._without.pop(workspace, None)
        rows = [Row(workspace, f"agent!{agent}!{team}", {}) for agent in agents]
        await asyncio.gather(*(self._tables.commit(TABLE, [Upsert(row)]) for row in rows))

    async def has(self, workspace: str, agent: str) -> bool:
        """Return whether the agent is a member of any team.

        That a workspace has no teams is cached for a moment, so that it is checked once, and not for each of its
        agents.
        """
        now = self._clock()
        if self._without.get(workspace, now - _TRUSTED) > now - _TRUSTED:
            return False
        if not await first_rows(self._tables, TABLE, Span.prefix(workspace, "agent!"), 1):
            self._without[workspace] = now
            return False
        async for row in every(self._tables, TABLE, Span.prefix(workspace, f"agent!{agent}!")):
            item = await self._items.find(workspace, _ref(row.key.split("!")[2]))
            if isinstance(item.content, Team) and agent in item.content.all_agents:
                return True
            try:
                await self._tables.commit(TABLE, [Delete(workspace, row.key, row.etag)])
            except RowChanged:
                return True  # the team is being stored
        return False


class Teams:
    """Stores and reads teams."""

    def __init__(
        self,
        memberships: Memberships,
        items: ConfigurationStore,
        catalog: Catalog,
        seats: Seats,
        inbox: Inbox,
        conditions: Collection[str],
        clock: Clock,
        *,
        trust_for: timedelta,
    ) -> None:
        self._memberships = memberships
        self._items = items
        self._catalog = catalog
        self._seats = seats
        self._inbox = inbox
        self._conditions = conditions
        self._clock = clock
        self._trust_for = trust_for
        self._known: dict[tuple[str, str], tuple[datetime, Team]] = {}

    async def get(self, workspace: str, name: str) -> TeamItem:
        """Return the team.

        Raises:
            NotFound: It does not exist.
        """
        return _team(await self._items.get(workspace, _ref(name)))

    async def of(self, workspace: str, name: str) -> Team:
        """Return the team's spec, at most `trust_for` old.

        Raises:
            NotFound: It does not exist.
        """
        now, key = self._clock(), (workspace, name)
        cached = self._known.get(key)
        if cached is None or cached[0] + self._trust_for <= now:
            cached = self._known[key] = (now, (await self.get(workspace, name)).team)
        return cached[1]

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[TeamItem], str | None]:
        """Return up to `limit` teams by name, and the name to continue after; None at the end."""
        found, after = await self._items.list(workspace, Kind.TEAM, limit, after)
        return [_team(item) for item in found], after

    async def versions(
        self, workspace: str, name: str, limit: int, before: int | None = None
    ) -> tuple[Sequence[ConfigurationItem], int | None]:
        """Return up to `limit` versions, newest first, and the version to continue before; None at the end."""
        return await self._items.versions(workspace, _ref(name), limit, before)

    async def put(self, workspace: str, name: str, team: Team, if_match: str | None = None) -> tuple[TeamItem, bool]:
        """Store the team, and return it and whether it is new. Storing the same again changes nothing.

        Raises:
            InvalidInput: A member's agent, or a trigger's condition, does not exist, or the summarizer has tools.
            Conflict: A removed member has open sessions.
            EtagMismatch: `if_match` is given and the team was changed since.
            TooLarge: It does not fit a row.
        """
        await self._check_members(workspace, team)
        self._check_conditions(team)

        async def ahead(current: ConfigurationItem) -> None:
            if isinstance(current.content, Team):
                gone = {member.name for member in current.content.members} - {member.name for member in team.members}
                await self._check_unused(workspace, name, gone)
            await self._memberships.enter(workspace, name, team.all_agents)

        before, item = await self._items.change(workspace, _ref(name), team, if_match, ahead)
        self._known.pop((workspace, name), None)
        return _team(item), before.content is None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the team.

        Raises:
            NotFound: It does not exist.
            Conflict: It has open sessions (code `team_in_use`); `fields` has the first of them.
            EtagMismatch: `if_match` is given and the team was changed since.
        """

        async def ahead(_: ConfigurationItem) -> None:
            await self._check_unused(workspace, name, None)

        await self._items.change(workspace, _ref(name), None, if_match, ahead)
        self._known.pop((workspace, name), None)

    async def _check_members(self, workspace: str, team: Team) -> None:
        found = await asyncio.gather(*(self._catalog.find(workspace, agent) for agent in team.all_agents))
        declared = {agent.name for agent in found if agent is not None and not agent.declaration.deleted}
        missing = {
            f"/members/{number}/agent": "is no agent of this workspace"
            for number, member in enumerate(team.members)
            if member.agent is not None and member.agent not in declared
        }
        if team.handoff.summarizer is not None and team.handoff.summarizer not in declared:
            missing["/handoff/summarizer"] = "is no agent of this workspace"
        if missing:
            msg = "There is no such agent; declare the agents first."
            raise InvalidInput(msg, code="unknown_member", fields=missing)
        summarizers = [agent for agent in found if agent is not None and agent.name == team.handoff.summarizer]
        if any(agent.declaration.spec.tools for agent in summarizers):
            msg = "The summarizer is an agent with tools; choose one without."
            raise InvalidInput(msg, code=SUMMARIZER_HAS_TOOLS, fields={"/handoff/summarizer": "has tools"})

    def _check_conditions(self, team: Team) -> None:
        used = {
            f"/members/{number}/handoff_triggers/{at}/condition": trigger.condition
            for number, member in enumerate(team.members)
            for at, trigger in enumerate(member.handoff_triggers)
        }
        used |= {f"/escalation_path/{at}/condition": one.condition or "" for at, one in enumerate(team.escalation_path)}
        unknown = {
            place: "is no condition of an extension of this app"
            for place, condition in used.items()
            if condition.startswith("extension:") and condition.removeprefix("extension:") not in self._conditions
        }
        if unknown:
            msg = f"There is no such condition. This app has: {', '.join(sorted(self._conditions)) or 'none'}."
            raise InvalidInput(msg, code="unknown_condition", fields=unknown)

    async def _check_unused(self, workspace: str, name: str, members: set[str] | None) -> None:
        """Check that none of the members has an open session; None: that the team has none, not even a waiting one."""
        if members is not None and not members:
            return
        seats = await self._seats.exact(workspace, name)
        used = {
            seat.session_id: f"is with {seat.member}" for seat in seats if members is None or seat.member in members
        }
        if members is None:
            waiting = [one.session.id async for one in self._inbox.waiting_for_member(workspace, name)]
            used |= dict.fromkeys(waiting, "waits for a member")
        if not used:
            return
        subject = "The team" if members is None else "A member that is gone from it"
        msg = f"{subject} has open conversations: {len(used)}. End them, or hand them over, first."
        fields = {f"/sessions/{ident}": where for ident, where in islice(used.items(), _MOST_NAMED)}
        raise Conflict(msg, code="team_in_use", fields=fields)


def team_name(text: str) -> str:
    """Return the name if it is valid.

    Raises:
        InvalidInput: It is not valid (code `invalid_team_name`).
    """
    return item_name(Kind.TEAM, text)


def _ref(name: str) -> Ref:
    return Ref(Kind.TEAM, name)


def _team(item: ConfigurationItem) -> TeamItem:
    if not isinstance(item.content, Team):
        msg = f"There is no team {item.ref.name!r}."
        raise NotFound(msg, code="team_not_found")
    return TeamItem(item.ref.name, item.content, item.version, item.updated_at)
