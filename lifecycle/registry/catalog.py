"""The agents of a workspace: what was declared, and beside it what the registry made of it.

Table `agents`, partition = workspace. Row `{name}` is the declaration: written here, guarded by its ETag, so that a
change is accepted or refused at once. Row `{name}!record` is the registry's record: written by the agent's actor only.
The two lie next to each other, so one request reads both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kernel.clock import Clock
from kernel.codec import JsonCodec
from kernel.errors import Conflict, EtagMismatch, NotFound, TooLarge
from kernel.tables import Insert, Replace, Row, RowChanged, RowExists, RowTooLarge, Span, Tables, every
from lifecycle.configuration.layers import AgentConfig
from lifecycle.configuration.specs import AgentSpec
from lifecycle.registry.agents import AgentRecord, AgentState
from lifecycle.registry.records import SUFFIX, TABLE, load_record


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an owner wants of an agent.

    Attributes:
        spec: What it is to be, composed of everything that the owner named.
        revision: Counts the changes of what it is to be, from 1.
        enabled: False while an operator has it switched off.
        deleted: True once it was deleted; the row stays, so that a late signal cannot bring it back.
        created_at: When it was first declared (again), aware UTC.
        updated_at: When the declaration last changed.
        config: What the owner declared, of which the spec was composed; None where that was the spec itself.
        sources: The version of each template, personality, … that it was composed of, by `kind:name`.
    """

    spec: AgentSpec
    revision: int
    enabled: bool
    deleted: bool
    created_at: datetime
    updated_at: datetime
    config: AgentConfig | None = None
    sources: Mapping[str, int] = field(default_factory=dict[str, int])


_DECLARATION = JsonCodec(Declaration)
_FIRST = "0"
"""No agent's name comes before it; the rows that do are `lifecycle.registry.counts`."""


def declared(
    current: Declaration | None,
    spec: AgentSpec,
    now: datetime,
    config: AgentConfig | None = None,
    sources: Mapping[str, int] | None = None,
) -> Declaration:
    """Return the declaration after the spec was declared; the current one when that says nothing new.

    What is composed otherwise but comes to the same spec is no new revision.
    """
    made = sources or {}
    if current is None or current.deleted:
        revision = current.revision + 1 if current else 1
        flags = {"enabled": True, "deleted": False}
        return Declaration(spec, revision, **flags, created_at=now, updated_at=now, config=config, sources=made)
    if current.spec == spec:
        same = (current.config, current.sources) == (config, made)
        return current if same else replace(current, config=config, sources=made)
    return replace(current, spec=spec, revision=current.revision + 1, updated_at=now, config=config, sources=made)


@dataclass(frozen=True, slots=True)
class Agent:
    """A declared agent and its record; None while no actor has dealt with it."""

    workspace: str
    name: str
    declaration: Declaration
    record: AgentRecord | None
    row_etag: str

    @property
    def state(self) -> AgentState:
        """What the agent is now; the kill switch counts from the moment it is declared."""
        if self.declaration.deleted:
            return AgentState.DELETED
        if not self.declaration.enabled:
            return AgentState.DISABLED
        # A record that says deleted is of the agent's life before it was declared again.
        if self.record is None or self.record.state is AgentState.DELETED:
            return AgentState.REGISTERED
        return self.record.state

    @property
    def etag(self) -> str:
        """The declaration's version, as an HTTP entity tag."""
        return f'"{self.declaration.revision}"'

    @property
    def ready(self) -> bool:
        """Whether runs may use the record's version: it was made from the spec as declared now."""
        record = self.record
        return (
            self.declaration.enabled
            and not self.declaration.deleted
            and record is not None
            and record.revision == self.declaration.revision
            and record.spec == self.declaration.spec  # enabling takes over the revision, but no spec declared meanwhile
            and record.usable
        )


class Catalog:
    """Declares and reads agents."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def find(self, workspace: str, name: str) -> Agent | None:
        """Return the agent, a deleted one included, or None when it was never declared."""
        # '"' follows '!', so the span holds the name's two rows and nothing else.
        span = Span(workspace, key_from=name, key_before=f'{name}"')
        rows = {row.key: row async for row in every(self._tables, TABLE, span)}
        row = rows.get(name)
        return _agent(row, rows.get(name + SUFFIX)) if row else None

    async def get(self, workspace: str, name: str) -> Agent:
        """Return the agent.

        Raises:
            NotFound: It was never declared, or was deleted.
        """
        agent = await self.find(workspace, name)
        if agent is None or agent.declaration.deleted:
            msg = f"There is no agent {name!r}."
            raise NotFound(msg, code="agent_not_found")
        return agent

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Agent], str | None]:
        """Return up to `limit` agents by name, and the name to continue after; None when these were the last."""
        found: list[Agent] = []
        start = _FIRST if after is None else f'{after}"'
        rows_a_page = min(1000, 2 * limit + 2)
        token: str | None = None
        pending: Row | None = None
        while True:
            page = await self._tables.query(TABLE, Span(workspace, key_from=start), limit=rows_a_page, token=token)
            for row in page.rows:
                if not row.key.endswith(SUFFIX):
                    if pending is not None:
                        found.append(_agent(pending, None))
                    pending = row
                elif pending is not None:
                    found.append(_agent(pending, row))
                    pending = None
            token = page.next
            if token is None and pending is not None:
                found.append(_agent(pending, None))
            kept = [agent for agent in found if not agent.declaration.deleted]
            if len(kept) > limit:
                return kept[:limit], kept[limit - 1].name
            if token is None:
                return kept, None

    async def everyone(self, workspace: str | None = None) -> AsyncIterator[Agent]:
        """Yield every agent that was ever declared, the deleted ones included, of one workspace or of all."""
        span = Span(workspace or " ", partition_before=None if workspace else "~", key_from=_FIRST)
        pending: Row | None = None
        async for row in every(self._tables, TABLE, span):
            if pending is not None:
                records = (row.partition, row.key) == (pending.partition, pending.key + SUFFIX)
                yield _agent(pending, row if records else None)
                pending = None
                if records:
                    continue
            if not row.key.endswith(SUFFIX):
                pending = row
        if pending is not None:
            yield _agent(pending, None)

    async def declare(
        self,
        workspace: str,
        name: str,
        spec: AgentSpec,
        if_match: str | None = None,
        *,
        config: AgentConfig | None = None,
        sources: Mapping[str, int] | None = None,
    ) -> tuple[Agent, bool]:
        """Declare the agent and return it and whether it is new. Declaring the same again changes nothing.

        Args:
            workspace: Its workspace.
            name: Its name, valid by `kernel.ids.agent_name`.
            spec: What it is to be.
            if_match: Entity tag the current declaration must have, `*` for any; None for no condition.
            config: What the owner declared, if not the spec itself.
            sources: The versions of what it was composed of.

        Raises:
            EtagMismatch: The declaration is another one, or there is none.
            TooLarge: It is more than a row can hold.
        """
        while True:
            agent = await self.find(workspace, name)
            fresh = agent is None or agent.declaration.deleted
            if if_match is not None and (agent is None or fresh or if_match not in ("*", agent.etag)):
                raise EtagMismatch
            declaration = declared(agent.declaration if agent else None, spec, self._clock(), config, sources)
            if agent is not None and declaration == agent.declaration:
                return agent, False
            written = await self._write(workspace, name, agent, declaration)
            if written is not None:
                return written, fresh

    async def follow(self, agent: Agent, spec: AgentSpec, sources: Mapping[str, int]) -> Agent | None:
        """Declare what the agent comes to after something it is composed of has changed.

        Returns:
            The agent as declared now, or None when somebody else has changed its declaration since it was read.
        """
        current = agent.declaration
        declaration = declared(current, spec, self._clock(), current.config, sources)
        if declaration == current:
            return agent
        return await self._write(agent.workspace, agent.name, agent, declaration)

    async def switch(self, workspace: str, name: str, *, enabled: bool) -> Agent:
        """Switch the agent on or off.

        Raises:
            NotFound: There is no such agent.
        """
        return await self._change(workspace, name, None, enabled=enabled)

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> Agent:
        """Declare the agent deleted.

        Raises:
            NotFound: There is no such agent.
            EtagMismatch: `if_match` is given and its declaration is another one.
        """
        return await self._change(workspace, name, if_match, deleted=True)

    async def _change(self, workspace: str, name: str, if_match: str | None, **values: bool) -> Agent:
        while True:
            agent = await self.get(workspace, name)
            if if_match not in (None, "*", agent.etag):
                raise EtagMismatch
            changed = replace(agent.declaration, **values)  # pyright: ignore[reportArgumentType] - flags only
            if changed == agent.declaration:
                return agent
            changed = replace(changed, revision=changed.revision + 1, updated_at=self._clock())
            written = await self._write(workspace, name, agent, changed)
            if written is not None:
                return written

    async def _write(self, workspace: str, name: str, agent: Agent | None, declaration: Declaration) -> Agent | None:
        """Return the agent as declared now, or None when somebody else changed it first."""
        values = {"declaration": _DECLARATION.dump(declaration)}
        row = Row(workspace, name, values, agent.row_etag if agent else "")
        try:
            etags = await self._tables.commit(TABLE, [Replace(row) if agent else Insert(row)])
        except (RowChanged, RowExists):
            return None
        except RowTooLarge:
            msg = "The declaration is too large: at most 1 MiB can be stored, of which a character takes 2 bytes."
            raise TooLarge(msg) from None
        return Agent(workspace, name, declaration, agent.record if agent else None, etags[0])


def _agent(row: Row, record: Row | None) -> Agent:
    return Agent(
        row.partition,
        row.key,
        _DECLARATION.load(row.text("declaration")),
        load_record(record.text("record")) if record else None,
        row.etag,
    )


def disabled(agent: Agent) -> Conflict:
    """Return the error of using an agent that is switched off."""
    return Conflict(f"Agent {agent.name!r} is disabled.", code="agent_disabled")
