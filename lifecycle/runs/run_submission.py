"""Accepts runs: from a request to stored rows and a queue message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, InvalidInput, NotFound, TooManyRequests, Unavailable
from kernel.ids import new_id, session_of_run
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from kernel.tracing import span
from lifecycle.conversations import run_acceptance as acceptance
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.message_delivery import may_have_overtaken, misuse
from lifecycle.conversations.run import NOT_QUEUED, Run, RunState
from lifecycle.conversations.run_and_session_indexes import Directory, RunPlace
from lifecycle.conversations.run_request import RunRequest, Send, Submission, submission_of
from lifecycle.conversations.session import IDLE_TIMEOUT, Limits, Session, SessionTerms
from lifecycle.conversations.session_priority import Priority, check_priority
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.session_updates import session_ended
from lifecycle.conversations.team_assignment import TeamRun
from lifecycle.registry.actor_operations import Ensure
from lifecycle.registry.catalog import Agent, Catalog, disabled

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.sessions.start import SessionStart
    from lifecycle.teams.team_submission import Routed, TeamRouting

Admit = Callable[[Agent], Awaitable[None]]
"""Checks whether a run of the agent may be accepted now; raises TooManyRequests if not."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored run, and whether this call created it."""

    run: Run
    created: bool


@dataclass(frozen=True, slots=True)
class SubmitPolicy:
    """Settings of submission.

    Attributes:
        session_idle_after: How long a session without its own limit may be idle.
        agent_trust: How long a cached agent is used for a run of an existing session. A new session, and one that is
            pinned, always reads the agent.
        admit: Checks that the agent's pools have capacity; None without pools.
    """

    session_idle_after: timedelta
    agent_trust: timedelta
    admit: Admit | None = None


class RunSubmission:
    """Stores and queues runs."""

    def __init__(
        self,
        catalog: Catalog,
        conversations: ConversationStore,
        directory: Directory,
        start: SessionStart,
        routing: TeamRouting,
        *,
        policy: SubmitPolicy,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._conversations = conversations
        self._directory = directory
        self._start = start
        self._routing = routing
        self._policy = policy
        self._clock = clock

    async def submit(
        self,
        workspace: str,
        agent_name: str,
        request: RunRequest,
        run_id: str,
        signals: AgentSignals,
        send: Send,
        *,
        workflow_run_id: str | None = None,
    ) -> Accepted:
        """Store the run, a step of the workflow run if there is one, and queue it; again, return the same run.

        Raises:
            NotFound: The agent does not exist, or the session is another user's.
            Conflict: The agent is disabled; the session has ended or is another agent's; or the run id is taken.
            TooManyRequests: The agent's pool has no capacity, and refuses runs then.
            Unavailable: The broker did not accept the message; the run is not queued.
        """
        attributes = {"gen_ai.agent.name": agent_name, "agent.workspace": workspace, "agent.run.id": run_id}
        with span(f"submit {agent_name}", attributes) as current:
            accepted = await self._submit(
                workspace, agent_name, request, run_id, signals, send, workflow_run_id=workflow_run_id
            )
            current.set_attribute("gen_ai.conversation.id", accepted.run.session_id)
            current.set_attribute("agent.run.created", accepted.created)
            return accepted

    async def submit_to_team(
        self,
        workspace: str,
        team: str,
        request: RunRequest,
        run_id: str,
        signals: AgentSignals,
        send: Send,
        *,
        workflow_run_id: str | None = None,
    ) -> Accepted:
        """Store a run for a team with the member that is to answer it, and queue it, unless a person or nobody has it.

        Raises:
            NotFound: The team does not exist, or the session is another user's.
            InvalidInput: It uses options that teams' sessions do not have.
            Conflict: The session has ended, or has another team or priority; or the run id is taken.
            Unavailable: No member is free, and the team refuses sessions then; or as for `submit`.
        """
        attributes = {"agent.team": team, "agent.workspace": workspace, "agent.run.id": run_id}
        with span(f"submit {team}", attributes) as current:
            routed = await self._routing.route(workspace, team, request, run_id)
            try:
                accepted = await self._submit(
                    workspace, routed.agent, request, run_id, signals, send, routed, workflow_run_id=workflow_run_id
                )
            finally:
                await self._routing.settled(workspace, routed)
            current.set_attribute("gen_ai.conversation.id", accepted.run.session_id)
            current.set_attribute("agent.run.created", accepted.created)
            return accepted

    async def _submit(
        self,
        workspace: str,
        agent_name: str,
        request: RunRequest,
        run_id: str,
        signals: AgentSignals,
        send: Send,
        routed: Routed | None = None,
        *,
        workflow_run_id: str | None = None,
    ) -> Accepted:
        try:
            agent, stored = await self._load(workspace, agent_name, request)
            if self._policy.admit is not None:
                await self._policy.admit(agent)
        except (NotFound, Conflict, TooManyRequests):
            # A run that was accepted before the agent was disabled, deleted or at capacity is returned.
            if (run := await self._accepted_before(workspace, _target(agent_name, routed), request, run_id)) is None:
                raise
            return Accepted(run, created=False)
        if not agent.ready:
            # Provisioning now overlaps with the message's delivery.
            await signals.send(workspace, agent_name, _ensure(agent))
        accepted = await self.accept(agent, request, run_id, stored, routed, workflow_run_id=workflow_run_id)
        if not runs.needs_message(accepted.run):
            return accepted
        try:
            await send(submission_of(accepted.run))
        except AppError as error:
            await self._not_queued(accepted.run, error)
            raise
        return accepted

    async def stored(self, submission: Submission, found: StoredConversation) -> StoredConversation:
        """Return the run of a message with its session; stores it if it is not stored yet.

        Raises:
            InvalidInput: The message can never be run (code `invalid_message`).
            AppError: The run is refused, as by `submit`.
        """
        if found.run is None:
            await self._accept_message(submission)
            found = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        if found.run is None:
            msg = "The run id was used for a run of another session."
            raise InvalidInput(msg, code="invalid_message")
        if (why := misuse(submission, found)) is not None:
            raise InvalidInput(why, code="invalid_message")
        return found

    async def _accept_message(self, submission: Submission) -> None:
        workspace, request, run_id, routed = submission.workspace, submission.request, submission.run_id, None
        if submission.team is not None:
            routed = await self._routing.route(workspace, submission.team, request, run_id)
        try:
            agent = await self._catalog.get(workspace, routed.agent if routed else submission.agent)
            await self.accept(agent, request, run_id, routed=routed)
        finally:
            if routed is not None:
                await self._routing.settled(workspace, routed)

    async def overtaken(self, stored: StoredConversation) -> Sequence[Submission]:
        """Return the messages of runs that were accepted before this one and are still queued, in order."""
        session, run = stored.session, stored.run
        if session is None or run is None or not may_have_overtaken(stored):
            return ()
        found = self._conversations.runs_in(session.workspace, session.id, RunState.QUEUED)
        earlier = [each async for each in found if each.number < run.number]
        return [submission_of(each) for each in sorted(earlier, key=lambda each: each.number)]

    async def accept(
        self,
        agent: Agent,
        request: RunRequest,
        run_id: str,
        session: StoredConversation | None = None,
        routed: Routed | None = None,
        *,
        workflow_run_id: str | None = None,
    ) -> Accepted:
        """Store the run without queueing it; `session` is the one in the request, if it was read before."""
        acceptance.check_tools(agent, request, of_team=routed is not None)
        workspace = agent.workspace
        session = session or await self._load_session(workspace, request.session_id)
        if session is not None:
            await self._check(session, agent, request, run_id, routed)
        wanted = RunPlace(
            request.session_id or session_of_run(workspace, run_id),
            agent.name,
            request.digest(_target(agent.name, routed)),
        )
        new_session = session is None or session.session is None
        now = self._clock()
        (place, new), _, preferences = await asyncio.gather(
            self._directory.claim_run(workspace, run_id, wanted, request.user_id),
            self._start.enter(self._new_session(agent, wanted.session_id, request, now, routed))
            if new_session
            else _nothing(),
            self._start.preferred(workspace, request.user_id) if new_session else _nothing(),
        )
        if place.session_id != wanted.session_id and request.session_id is None:
            await self._use_claimed_session(agent, request, wanted.session_id, place.session_id, now)
        if place.digest != wanted.digest:
            msg = "This idempotency key was used before, for a different request."
            raise Conflict(msg, code="idempotency_conflict")
        # A run with a new place has no row yet, so there is nothing to read.
        stored_before = (session or StoredConversation(None, None)) if new else None
        created = False

        def decide(stored: StoredConversation) -> ConversationChange | None:
            nonlocal created
            created = stored.run is None
            if stored.run is not None:
                return acceptance.resubmitted(stored, stored.run)
            if (ended := self._ended_by_now(stored.session, agent, request, routed)) is not None:
                return ended
            started, known = self._new_session(agent, place.session_id, request, now, routed), stored.session
            started = replace(started, terms=replace(started.terms, preferences=preferences))
            asked, new = TeamRun(routed.team, routed.reason) if routed else None, known is None
            known = routed.again(known) if known and routed and routed.again else known
            return acceptance.accepted(
                agent, request, run_id, known or started, asked, now, new=new, step_of=workflow_run_id
            )

        stored = await self._conversations.update(workspace, place.session_id, run_id, decide, known=stored_before)
        if stored.run is None:
            if stored.session is None:
                msg = "the run was not stored"
                raise RuntimeError(msg)
            await self._directory.close_session(workspace, agent.name, stored.session.id)
            sessions.check_usable(stored.session, agent.name, request.user_id, routed.team if routed else "")
            msg = "the run was neither stored nor refused"
            raise RuntimeError(msg)
        if new_session and not created and stored.session is not None and stored.session.over:
            await self._directory.close_session(workspace, agent.name, stored.session.id)  # it had ended before
        return Accepted(stored.run, created)

    async def _use_claimed_session(
        self, agent: Agent, request: RunRequest, session_id: str, claimed_session_id: str, now: datetime
    ) -> None:
        """Close the session just entered, and enter that of an earlier try, which may have died before it did."""
        await self._directory.close_session(agent.workspace, agent.name, session_id)
        if (await self._conversations.load(agent.workspace, claimed_session_id)).session is None:
            await self._start.enter(self._new_session(agent, claimed_session_id, request, now))

    async def _load(self, workspace: str, name: str, request: RunRequest) -> tuple[Agent, StoredConversation | None]:
        """Return the agent and session of the request."""
        recent = self._catalog.recent(workspace, name, self._policy.agent_trust)
        if recent is not None and recent.declaration.enabled and request.session_id and not request.pin_version:
            stored = await self._load_session(workspace, request.session_id)
            if stored is not None and stored.session is not None:
                return recent, stored
            return await self._usable_agent(workspace, name), stored
        return await asyncio.gather(
            self._usable_agent(workspace, name), self._load_session(workspace, request.session_id)
        )

    async def _load_session(self, workspace: str, session_id: str | None) -> StoredConversation | None:
        return None if session_id is None else await self._conversations.load(workspace, session_id)

    async def _check(
        self, stored: StoredConversation, agent: Agent, request: RunRequest, run_id: str, routed: Routed | None
    ) -> None:
        """Check that the session accepts the run, unless it is in it already."""
        if stored.session is None:
            return
        try:
            _check_session(stored.session, agent, request, routed)
        except AppError:
            if await self._directory.find_run(agent.workspace, run_id) is None:
                raise

    async def _accepted_before(self, workspace: str, agent: str, request: RunRequest, run_id: str) -> Run | None:
        place = await self._directory.find_run(workspace, run_id)
        if place is None or place.digest != request.digest(agent):
            return None
        return await self._conversations.run(workspace, place.session_id, run_id)

    async def _usable_agent(self, workspace: str, name: str) -> Agent:
        agent = await self._catalog.get(workspace, name)
        if not agent.declaration.enabled:
            raise disabled(agent)
        return agent

    def _ended_by_now(
        self, session: Session | None, agent: Agent, request: RunRequest, routed: Routed | None
    ) -> ConversationChange | None:
        """Return the change that ends a session which has timed out, though no timer has ended it yet; else None."""
        if session is None:
            return None
        _check_session(session, agent, request, routed)
        now = self._clock()
        reason = sessions.overdue(session, now, self._policy.session_idle_after)
        if reason is None or (reason == IDLE_TIMEOUT and session.pending):
            return None
        return session_ended(session, reason, now)

    def _new_session(
        self, agent: Agent, session_id: str, request: RunRequest, now: datetime, routed: Routed | None = None
    ) -> Session:
        """Return the session that a run starts; without an id from the caller it lasts no longer than an idle agent."""
        own, usual = agent.declaration.spec.idle_after_s, self._policy.session_idle_after.total_seconds()
        short = request.session_id is None and own is not None and own < usual
        session = Session(
            agent.workspace,
            session_id,
            agent.name,
            request.user_id,
            created_at=now,
            last_activity=now,
            terms=SessionTerms(
                limits=Limits(idle_timeout_s=float(own)) if short and own is not None else Limits(),
                pin=agent.declaration.pin if request.pin_version else None,
                priority=request.priority or Priority.NORMAL,
            ),
        )
        return session if routed is None or routed.open is None else routed.open(session)

    async def _not_queued(self, run: Run, error: AppError) -> None:
        """Fail a run whose message was not accepted, so that it does not seem to be queued.

        Concurrent requests for the same run may still send its message: only the last one that fails marks the run.
        """

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.session is None or stored.run is None or not runs.needs_message(stored.run):
                return None
            now, unsent = self._clock(), runs.unsent(stored.run)
            if unsent.dispatch.unsent < unsent.dispatch.sends:
                return ConversationChange(run=unsent)
            lost = runs.failed(unsent, Unavailable(error.detail, code=NOT_QUEUED), now)
            event = Event("run.stage", {"run_id": run.id, "stage": lost.stage, "code": NOT_QUEUED}, now)
            return ConversationChange(stored.session.counting(pending=-1), lost, events=[event])

        await self._conversations.update(run.workspace, run.session_id, run.id, decide)


def _target(agent: str, routed: Routed | None) -> str:
    """Return the target of a request for its digest: for a team's request always the same, whichever member gets it."""
    return agent if routed is None else f"team:{routed.team}"


def _check_session(session: Session, agent: Agent, request: RunRequest, routed: Routed | None) -> None:
    sessions.check_usable(session, agent.name, request.user_id, routed.team if routed else "")
    check_priority(session.id, session.priority, request.priority)


def _ensure(agent: Agent) -> Ensure:
    return Ensure(new_id(), agent.declaration.revision, agent.declaration.spec)


async def _nothing() -> None:
    return
