"""The agents of a workspace: their declarations and records.

Table `agents`, partition = workspace. Row `{name}` is the declaration: written here under its ETag, so that a change is
accepted or refused at once. Row `{name}!record` is the registry's record: written by the agent's actor only. They are
adjacent, so one request reads both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, readable
from kernel.errors import Conflict, EtagMismatch, NotFound, TooLarge
from kernel.lazy_dataclass import dataclass
from kernel.tables import Insert, Row, RowChanged, RowExists, RowTooLarge, Span, Tables, Write, every, put
from lifecycle.registry.agent_counts import change_row, declaration_change
from lifecycle.registry.agent_history import AgentHistory, EarlierDeclaration
from lifecycle.registry.audit import AgentEvents, AuditStep
from lifecycle.registry.declarations import Declaration, declared
from lifecycle.registry.record import AgentRecord, AgentState
from lifecycle.registry.record_store import SUFFIX, TABLE, load_record

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.configuration.layers import AgentConfig
    from lifecycle.specs.spec import AgentSpec

_DECLARATION = JsonCodec(Declaration)
_RECENT = 1000
"""How many recently read agents a process caches."""
_FIRST = "0"
"""Sorts before every agent's name; smaller keys are rows of `lifecycle.registry.agent_counts`."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A declared agent and its record; None before its actor has written one."""

    workspace: str
    name: str
    declaration: Declaration
    record: AgentRecord | None
    row_etag: str

    @property
    def state(self) -> AgentState:
        """The agent's state; `disabled` holds as soon as it is declared."""
        if self.declaration.deleted:
            return AgentState.DELETED
        if not self.declaration.enabled:
            return AgentState.DISABLED
        # A record in state `deleted` is from before the agent was declared again.
        if self.record is None or self.record.state is AgentState.DELETED:
            return AgentState.REGISTERED
        if self.record.state is AgentState.DISABLED:
            return AgentState.PROVISIONING  # it was enabled, but its actor has not restored it yet
        return self.record.state

    @property
    def etag(self) -> str:
        """The declaration's revision, as an HTTP entity tag."""
        return f'"{self.declaration.revision}"'

    @property
    def ready(self) -> bool:
        """Whether runs may use the record's version: it was made from the declared spec."""
        record = self.record
        return (
            self.declaration.enabled
            and not self.declaration.deleted
            and record is not None
            and record.revision == self.declaration.revision
            and record.spec == self.declaration.spec  # enabling updates the revision, but not the spec
            and record.usable
        )


class Catalog:
    """Stores and reads agents."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._history = AgentHistory(tables)
        self._news = AgentEvents(tables)
        self._clock = clock
        self._recent: dict[tuple[str, str], tuple[datetime, Agent]] = {}

    async def find(self, workspace: str, name: str) -> Agent | None:
        """Return the agent, even if deleted; None if it was never declared."""
        # '"' follows '!', so the span has exactly the name's two rows.
        span = Span(workspace, key_from=name, key_before=f'{name}"')
        rows = {row.key: row async for row in every(self._tables, TABLE, span)}
        row = rows.get(name)
        agent = _agent(row, rows.get(name + SUFFIX)) if row else None
        self._recent.pop((workspace, name), None)
        if agent is not None and agent.ready:
            self._recent[workspace, name] = (self._clock(), agent)
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]
        return agent

    def recent(self, workspace: str, name: str, within: timedelta) -> Agent | None:
        """Return the agent as this process read it within that time, if it was runnable then; else None."""
        read_at, agent = self._recent.get((workspace, name), (None, None))
        return agent if read_at is not None and self._clock() < read_at + within else None

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
        """Return up to `limit` agents by name, and the name to continue after; None at the end."""
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
                        found += _readable(pending, None)
                    pending = row
                elif pending is not None and row.key == pending.key + SUFFIX:
                    found += _readable(pending, row)
                    pending = None
            token = page.next
            if token is None and pending is not None:
                found += _readable(pending, None)
            kept = [agent for agent in found if not agent.declaration.deleted]
            if len(kept) > limit:
                return kept[:limit], kept[limit - 1].name
            if token is None:
                return kept, None

    async def all(self, workspace: str | None = None) -> AsyncIterator[Agent]:
        """Yield all agents, including deleted ones, of one workspace or of all."""
        span = Span(workspace or " ", partition_before=None if workspace else "~", key_from=_FIRST)
        pending: Row | None = None
        async for row in every(self._tables, TABLE, span):
            if pending is not None:
                records = (row.partition, row.key) == (pending.partition, pending.key + SUFFIX)
                for agent in _readable(pending, row if records else None):
                    yield agent
                pending = None
                if records:
                    continue
            if not row.key.endswith(SUFFIX):
                pending = row
        if pending is not None:
            for agent in _readable(pending, None):
                yield agent

    async def declare(
        self,
        workspace: str,
        name: str,
        spec: AgentSpec,
        if_match: str | None = None,
        *,
        config: AgentConfig | None = None,
        sources: Mapping[str, int] | None = None,
        by: str = "",
        step: AuditStep = AuditStep.DECLARED,
    ) -> tuple[Agent, bool]:
        """Declare the agent, and return it and whether it is new. Declaring the same again changes nothing.

        Args:
            workspace: Its workspace.
            name: Its name, valid by `kernel.ids.agent_name`.
            spec: Its spec.
            if_match: Entity tag that the declaration must have, `*` for any; None for no condition.
            config: The declaration that the spec was composed from; None if the spec itself was declared.
            sources: The versions of the items it was composed of.
            by: Who declares it; empty if unknown.
            step: The kind of its audit entry.

        Raises:
            EtagMismatch: The declaration was changed since, or there is none.
            TooLarge: It does not fit a row.
        """
        while True:
            agent = await self.find(workspace, name)
            fresh = agent is None or agent.declaration.deleted
            if if_match is not None and (agent is None or fresh or if_match not in ("*", agent.etag)):
                raise EtagMismatch
            declaration = declared(agent.declaration if agent else None, spec, self._clock(), config, sources)
            if agent is not None and declaration == agent.declaration:
                return agent, False
            if agent is None or declaration.revision != agent.declaration.revision:
                declaration = replace(declaration, step=step, by=by)
            written = await self._write(workspace, name, agent, declaration)
            if written is not None:
                return written, fresh

    async def follow(self, agent: Agent, spec: AgentSpec, sources: Mapping[str, int]) -> Agent | None:
        """Store the newly composed spec of an agent after a change of an item it is composed of.

        Returns:
            The agent as now declared; None if its declaration was changed since it was read.
        """
        current = agent.declaration
        declaration = declared(current, spec, self._clock(), current.config, sources)
        if declaration == current:
            return agent
        if declaration.revision != current.revision:
            declaration = replace(declaration, step=AuditStep.DECLARED, by="")
        return await self._write(agent.workspace, agent.name, agent, declaration)

    async def switch(self, workspace: str, name: str, *, enabled: bool, by: str = "") -> Agent:
        """Enable or disable the agent.

        Raises:
            NotFound: The agent does not exist.
        """
        step = AuditStep.SWITCHED_ON if enabled else AuditStep.SWITCHED_OFF
        return await self._change(workspace, name, None, step, by, enabled=enabled)

    async def delete(self, workspace: str, name: str, if_match: str | None = None, by: str = "") -> Agent:
        """Declare the agent deleted.

        Raises:
            NotFound: The agent does not exist.
            EtagMismatch: `if_match` is given and the declaration was changed since.
        """
        return await self._change(workspace, name, if_match, AuditStep.DELETED, by, deleted=True)

    async def _change(
        self, workspace: str, name: str, if_match: str | None, step: AuditStep, by: str, **values: bool
    ) -> Agent:
        while True:
            agent = await self.get(workspace, name)
            if if_match not in (None, "*", agent.etag):
                raise EtagMismatch
            changed = replace(agent.declaration, **values)  # pyright: ignore[reportArgumentType] - flags only
            if changed == agent.declaration:
                return agent
            changed = replace(changed, revision=changed.revision + 1, updated_at=self._clock(), step=step, by=by)
            written = await self._write(workspace, name, agent, changed)
            if written is not None:
                return written

    async def _write(self, workspace: str, name: str, agent: Agent | None, declaration: Declaration) -> Agent | None:
        """Return the agent as now declared; None if it was changed since it was read."""
        if agent is not None and declaration.revision != agent.declaration.revision:
            # The replaced declaration is stored first; if the change fails, an entry for a declaration that is still
            # valid does no harm.
            before = agent.declaration
            earlier = EarlierDeclaration(before.revision, before.spec, before.updated_at)
            await self._history.declared(workspace, name, earlier, before.audit_entry)
            # The process that declared it may have died before it published the event.
            await self._news.publish(workspace, name, [before.audit_entry], again=True)
        self._recent.pop((workspace, name), None)
        values = {"declaration": _DECLARATION.dump(declaration)}
        row = Row(workspace, name, values, agent.row_etag if agent else "")
        writes: list[Write] = [put(row)]
        existed = agent is not None and not agent.declaration.deleted
        if counts := declaration_change(existed=existed, exists=not declaration.deleted):
            writes.append(Insert(change_row(workspace, counts, self._clock())))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            return None
        except RowTooLarge:
            msg = "The declaration is too large: at most 1 MiB can be stored, of which a character takes 2 bytes."
            raise TooLarge(msg) from None
        await self._news.publish_if_possible(workspace, name, [declaration.audit_entry])
        return Agent(workspace, name, declaration, agent.record if agent else None, etags[0])


def _readable(row: Row, record: Row | None) -> Sequence[Agent]:
    return list(readable([row], lambda row: _agent(row, record), "agent"))


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
