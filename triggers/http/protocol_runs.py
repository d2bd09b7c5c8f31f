"""Starting and following runs for the other protocols: which agents exist, submitting, and the growing text.

The OpenAI-compatible endpoints, the MCP server and the A2A server use this module, and it uses the same submission as
`POST agents/{name}/runs`: budgets, approvals, order, idempotency and costs do not depend on the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, InvalidInput, NotFound, RunFailed
from kernel.ids import agent_name, new_id, parse_run_id, run_id, session_of_run
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import APPROVAL_NEEDED, Run, RunState
from lifecycle.conversations.session import EarlierMessage
from lifecycle.sessions.start import SessionOptions

if TYPE_CHECKING:
    from lifecycle.approvals.decisions import DecisionRequest
    from lifecycle.conversations.run_request import RunRequest
    from lifecycle.registry.catalog import Agent
    from lifecycle.teams.team_store import TeamItem
    from triggers.http.approvals.views import ApprovalView
    from triggers.http.handler_call import Call

LONGEST_ANSWER_S = 220
"""Longest wait for an answer, in seconds; Azure's load balancer ends a request after 230."""
MOST_LISTED = 500
"""Most agents listed at once where a protocol has no pages."""
_LOOK_EVERY_S = 1.0
_TURNS_A_READ = 200
_MOST_CONTEXT = 90_000
"""Most characters of the earlier conversation that a team gets, the latest part of it."""


@dataclass(frozen=True, slots=True)
class Callee:
    """Something that can be asked: an agent, or a team whose name no agent has.

    Attributes:
        name: Its name.
        description: What it is for; empty where not declared.
        created_at: When it was declared.
        enabled: Whether it takes runs.
        version: Changes whenever its declaration changes.
        team, client_tools: Whether it is a team; whether its callers may bring tools of their own.
    """

    name: str
    description: str
    created_at: datetime
    enabled: bool
    version: str
    team: bool = False
    client_tools: bool = False


def _callee(agent: Agent) -> Callee:
    declaration = agent.declaration
    return Callee(
        agent.name,
        declaration.spec.description,
        declaration.created_at,
        declaration.enabled,
        str(declaration.revision),
        client_tools=declaration.spec.client_tools,
    )


def _team(item: TeamItem) -> Callee:
    since = item.updated_at or datetime.fromtimestamp(0, UTC)
    return Callee(item.name, item.team.description, since, enabled=True, version=str(item.version), team=True)


async def callees(
    call: Call, limit: int = MOST_LISTED, after: str | None = None
) -> tuple[Sequence[Callee], str | None]:
    """Return up to `limit` agents by name, then teams, and the cursor of the next page; None at the end."""
    agents, following = await call.services.agents.catalog.list(call.workspace, limit, after)
    found = [_callee(agent) for agent in agents if agent.declaration.enabled]
    if following is None and len(agents) < limit:
        teams, _ = await call.services.teams.store.list(call.workspace, limit - len(agents))
        names = {one.name for one in found}
        found += [_team(item) for item in teams if item.name not in names]
    return found, following


async def callee(call: Call, name: str) -> Callee:
    """Return the agent or team of that name.

    Raises:
        NotFound: There is none.
    """
    name = _name(name)
    try:
        return _callee(await call.services.agents.catalog.get(call.workspace, name))
    except NotFound:
        try:
            return _team(await call.services.teams.store.get(call.workspace, name))
        except NotFound:
            raise NotFound(f"There is no agent {name!r}, and no team.", code="agent_not_found") from None


def _name(text: str) -> str:
    try:
        return agent_name(text)
    except InvalidInput:
        raise NotFound(f"There is no agent {text[:64]!r}.", code="agent_not_found") from None


class Blocked(Conflict):
    """The run waits for a budget or an approval."""

    code = "run_blocked"


class NotYet(AppError):
    """The run did not finish in time; it goes on."""

    code = "run_not_finished"


class SubmittedRun:
    """A submitted run, followed to its end.

    Attributes:
        run: The run as last read.
        created: Whether this request created it, rather than an earlier one with the same idempotency key.
    """

    def __init__(self, call: Call, run: Run, first: int = 0, *, created: bool = True) -> None:
        """Set the run, and the number of the session event to follow its text from."""
        self.run = run
        self.created = created
        self._call = call
        self._first = first
        self._services = call.services

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come for now: it has ended, or waits for a budget or an approval.

        A run that waits without an error waits for another run of its session, or for the session to be resumed.
        """
        return self.run.finished or (self.run.state is RunState.WAITING and self.run.error is not None)

    async def wait(self, within_s: float) -> Run:
        """Return the run once it is settled, or as it is after so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not self.settled and (left := deadline - loop.time()) > 0:
            if self.run.state is RunState.WAITING:
                await asyncio.sleep(min(left, _LOOK_EVERY_S))
                self.run = await self._services.runs.queries.get(self.run.workspace, self.run.id)
            else:
                self.run = await self._services.runs.queries.finished(self.run, left)
        return self.run

    async def cancel(self) -> Run:
        """Cancel the run and return it."""
        cancel = self._services.runs.cancel
        self.run = await cancel.cancel(self.run.workspace, self.run.id, self._call.queue.send)
        return self.run

    async def pieces(self, within_s: float) -> AsyncGenerator[str]:
        """Yield the answer's text as it grows, or at once where the run is not streamed; `run` is then up to date.

        What was yielded is always a beginning of the answer.

        Raises:
            RunFailed: The run was attempted again and is answered by other words than were yielded.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        sent = ""
        if self.run.stream and not self.settled:
            async with aclosing(self._growing(deadline)) as growing:
                async for text in growing:
                    if text.startswith(sent) and len(text) > len(sent):
                        yield text[len(sent) :]
                        sent = text
        await self.wait(max(0.0, deadline - loop.time()))
        answer = self.run.answer
        if answer is None:
            return
        if not answer.startswith(sent):
            msg = "The run was retried, and its answer differs from the text already sent."
            raise RunFailed(msg, code="answer_changed")
        if len(answer) > len(sent):
            yield answer[len(sent) :]

    async def _growing(self, deadline: float) -> AsyncGenerator[str]:
        """Yield the text of the latest attempt whenever it has grown, until it ends."""
        from lifecycle.events.streams import SessionStream  # noqa: PLC0415 - cold start

        loop = asyncio.get_running_loop()
        run, services = self.run, self._services
        stream = SessionStream(services.conversations.store, run.workspace, run.session_id)
        last = stream.id_of((self._first,)) if self._first else None
        attempt, text = 0, ""
        while (left := deadline - loop.time()) > 0:
            names = ("run.delta", "run.stream_ended")
            news = await services.conversations.subscribers.follow(
                stream, last, wait_s=min(left, _LOOK_EVERY_S), names=names
            )
            last = stream.id_of(news.position)
            for _, event in news.events:
                if event.data["run_id"] != run.id:
                    continue
                if event.name == "run.stream_ended":
                    if event.data["outcome"] == "completed":
                        return
                    continue
                if event.data["attempt"] > attempt:
                    attempt, text = event.data["attempt"], ""
                if event.data["offset"] <= len(
                    text
                ):  # otherwise earlier events were missed, and the answer contains their text
                    text = text[: event.data["offset"]] + event.data["text"]
                    yield text
            if not news.events:
                self.run = await services.conversations.store.run(run.workspace, run.session_id, run.id) or self.run
                if self.settled:
                    return


async def ask(
    call: Call, name: str, request: RunRequest, *, key: str | None = None, before: Sequence[EarlierMessage] = ()
) -> SubmittedRun:
    """Submit a run and return it; the same key returns the same run.

    Args:
        call: The current call.
        name: The agent or team.
        request: The run request.
        key: The caller's idempotency key.
        before: The earlier conversation; where the run starts a session, the session begins with it.

    Raises:
        AppError: The run is not accepted, as for `POST agents/{name}/runs`.
    """
    from lifecycle.conversations.run_acceptance import check_tools  # noqa: PLC0415 - cold start
    from lifecycle.conversations.run_request import check  # noqa: PLC0415 - it imports pydantic

    name = _name(name)
    check(request, call.services.core.settings.max_query_bytes)
    ident = run_id(call.workspace, key) if key else new_id()
    first = await _events_so_far(call, request.session_id) if request.stream else 0
    submission = call.services.runs.submission
    try:
        agents = request
        if before:
            # The session's id is derived from the run's, so that a repeated request finds it.
            session = request.session_id or session_of_run(call.workspace, ident)
            if request.client_tools is not None:  # before a session is started for a request that is then refused
                check_tools(await call.services.agents.catalog.get(call.workspace, name), request, of_team=False)
            agents = request.model_copy(update={"session_id": session})
            await _begin(call, name, agents, before)
        accepted = await submission.submit(call.workspace, name, agents, ident, call.signals, call.queue.send)
    except NotFound as error:
        if error.code != "agent_not_found":
            raise
        await callee(call, name)  # raises where there is no such team either
        teams = request.model_copy(update={"context": _so_far(before)}) if before else request
        accepted = await submission.submit_to_team(call.workspace, name, teams, ident, call.signals, call.queue.send)
    return SubmittedRun(call, accepted.run, first, created=accepted.created)


def _so_far(before: Sequence[EarlierMessage]) -> str:
    """Return the earlier conversation as context: a team's session begins with the member that gets it."""
    text = "\n".join(f"{message.role}: {message.text}" for message in before)
    return "Said before:\n" + text[-_MOST_CONTEXT:]


async def find(call: Call, ident: str) -> SubmittedRun:
    """Return the run of that id.

    Raises:
        NotFound: There is none in the workspace.
        InvalidInput: The text is not a run id.
    """
    return SubmittedRun(call, await call.services.runs.queries.get(call.workspace, parse_run_id(ident)), created=False)


def failure(run: Run) -> AppError:
    """Return the error of a run that ended without an answer."""
    if run.state is RunState.CANCELLED:
        return RunFailed("The run was cancelled.", code="cancelled")
    error = run.error
    return RunFailed(error.detail, code=error.code) if error else RunFailed()


async def branch(call: Call, earlier: Run, user_id: str | None) -> tuple[str | None, tuple[EarlierMessage, ...]]:
    """Return how to continue from a run's answer: in its session if it is the latest there, else in a new one.

    Args:
        call: The current call.
        earlier: The run, which has ended.
        user_id: The user the request is made for.

    Returns:
        The session to continue, or None with the messages that a new one begins with.

    Raises:
        NotFound: The session is erased, or belongs to another user.
    """
    conversations = call.services.conversations.store
    session = (await conversations.load(call.workspace, earlier.session_id)).session
    if session is None or session.receipt is not None or session.user_id not in (None, user_id):
        raise NotFound("There is no such run.", code="run_not_found")
    if earlier.number == session.runs:
        return session.id, ()
    most = call.services.core.settings.history_turns
    end = session.turns
    later: list[EarlierMessage] = []
    while end > 0:
        first = max(0, end - _TURNS_A_READ)
        turns = await conversations.turns(call.workspace, session.id, first, end - first)
        later = [*(EarlierMessage(turn.role, turn.text, turn.tool_calls) for turn in turns), *later]
        found = next((n for n in reversed(range(len(turns))) if turns[n].run_id == earlier.id), None)
        if found is not None:
            before = later[: found + 1]
            if len(before) < most and first > 0:
                start = max(0, first - most)
                older = await conversations.turns(call.workspace, session.id, start, first - start)
                before = [*(EarlierMessage(turn.role, turn.text, turn.tool_calls) for turn in older), *before]
            return None, tuple(before[-most:] if most else ())
        later, end = [], first
    return None, ()


def check_answered(asked: SubmittedRun) -> None:
    """Check that a run has an answer.

    Raises:
        AppError: It failed, waits for a budget or an approval, or did not finish in time.
    """
    run = asked.run
    if run.state is RunState.SUCCEEDED:
        return
    if run.finished:
        raise failure(run)
    if asked.settled and run.error is not None:
        raise Blocked(f"{run.error.detail} Run {run.id} waits.", code=run.error.code)
    msg = f"The run is not finished yet; it goes on as run {run.id}, which can be read."
    raise NotYet(msg)


async def waiting_approvals(call: Call, run: Run) -> Sequence[ApprovalView]:
    """Return the approvals that a run waits for."""
    from triggers.http.approvals.views import ApprovalView  # noqa: PLC0415 - it imports pydantic

    if run.error is None or run.error.code != APPROVAL_NEEDED or run.finished:
        return ()
    where = {"run": run.id}
    found, _ = await call.services.approvals.store.list(call.workspace, 50, None, pending=True, where=where)
    return [ApprovalView.of_record(record, call.person) for record in found]


async def decide(call: Call, ident: str, decision: DecisionRequest) -> ApprovalView:
    """Decide an approval on behalf of the caller, and return it.

    Raises:
        AppError: There is none of that id, it is already decided otherwise, or the caller may not decide it.
    """
    from triggers.http.approvals.handlers import approval_id  # noqa: PLC0415 - it imports pydantic
    from triggers.http.approvals.views import ApprovalView  # noqa: PLC0415

    person = call.person
    record = await call.services.approvals.decisions.decide(
        call.workspace, approval_id(ident), person, decision, call.queue.send
    )
    return ApprovalView.of_record(record, person)


async def _events_so_far(call: Call, session_id: str | None) -> int:
    if session_id is None:
        return 0
    session = (await call.services.conversations.store.load(call.workspace, session_id)).session
    return session.events if session else 0


async def _begin(call: Call, name: str, request: RunRequest, before: Sequence[EarlierMessage]) -> None:
    """Start the request's session with the earlier conversation; does nothing where it exists."""
    if request.session_id is None:
        msg = "the session has no id"
        raise RuntimeError(msg)
    services = call.services
    known = (await services.conversations.store.load(call.workspace, request.session_id)).session
    if known is None:
        most = services.core.settings.history_turns
        history = tuple(before[-most:]) if most else ()
        options = SessionOptions(user_id=request.user_id, history=history)
        await services.sessions.start.start(call.workspace, name, request.session_id, options)
