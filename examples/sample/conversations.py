"""The sessions of the sample facts, as they are stored once their runs have ended."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bootstrap.services import Services
from kernel.journal import Event
from lifecycle.conversations.attempt_costs import Costs, after
from lifecycle.conversations.long_texts import LongTexts
from lifecycle.conversations.run import Attempt, Dispatch, Result, Run, RunError, RunInput, RunState, Stage, Times
from lifecycle.conversations.run_and_session_indexes import Directory, RunPlace
from lifecycle.conversations.session import IDLE_TIMEOUT, End, Session, SessionState
from lifecycle.conversations.session_change import ConversationChange, StoredConversation, Turn
from lifecycle.conversations.session_store import ConversationStore
from lifecycle.conversations.session_updates import stage_event, state_event
from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.spend.usage import Spend

AT_ONCE = 16
"""Sessions written concurrently."""
_IDLE_AFTER = timedelta(hours=1)
QUESTIONS = {
    "customer_service": (
        "My order 4711 has not arrived. What now?",
        "Can it be sent to another address?",
        "And what does that cost?",
    ),
    "market_analyst": (
        "How large is the market for cargo bikes in Europe?",
        "Who are the three largest makers?",
        "How sure are you of these shares?",
    ),
    "tech_advisor": (
        "Compare Table Storage and Cosmos DB for a registry of agents.",
        "What changes with 10,000 agents?",
        "Which would you begin with?",
    ),
    "technical_support": (
        "The deployment fails with 403 since yesterday. Why?",
        "Which role is missing?",
        "How do I see that it is granted?",
    ),
}
_ANSWER = "This is sample data: no model was asked. A real answer to “{query}” would stand here."


def conversations(facts: Sequence[AttemptFact]) -> Iterator[Sequence[Sequence[AttemptFact]]]:
    """Yield each session's runs in order, each as the facts of its attempts."""
    in_order = sorted(facts, key=lambda fact: (fact.who.session_id, fact.timing.accepted_at, fact.attempt))
    for _, of_session in itertools.groupby(in_order, lambda fact: fact.who.session_id):
        yield [list(of_run) for _, of_run in itertools.groupby(of_session, lambda fact: fact.who.run_id)]


async def converse(services: Services, facts: Sequence[AttemptFact], now: datetime) -> int:
    """Write the sessions, and return their number. Existing ones are left unchanged."""
    room = asyncio.Semaphore(AT_ONCE)
    # Without followers of changes: none of this happens now.
    store = ConversationStore(services.core.tables, LongTexts(services.core.texts))

    async def write(runs: Sequence[Sequence[AttemptFact]]) -> None:
        async with room:
            await _enter(services, runs)
            # In one transaction, in this order.
            last = len(runs) - 1
            await asyncio.gather(*(_keep(store, run, n, now if n == last else None) for n, run in enumerate(runs)))
            if _over(runs[last], now):
                who = runs[0][0].who
                await services.conversations.directory.close_session(who.workspace, who.agent, who.session_id)

    found = list(conversations(facts))
    await all_of(map(write, found))
    return len(found)


async def all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once; if one fails, its error is raised when the others have been cancelled and have ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _over(attempts: Sequence[AttemptFact], now: datetime) -> bool:
    return attempts[-1].timing.ended_at + _IDLE_AFTER < now


def _begun(fact: AttemptFact) -> Session:
    who, accepted = fact.who, fact.timing.accepted_at
    return Session(who.workspace, who.session_id, who.agent, who.user_id, accepted, accepted)


async def _enter(services: Services, runs: Sequence[Sequence[AttemptFact]]) -> None:
    """Enter the runs and their session in the indexes."""
    for attempts in runs:
        who, accepted = attempts[0].who, attempts[0].timing.accepted_at
        directory = Directory(services.core.tables, lambda accepted=accepted: accepted)
        await directory.claim_run(who.workspace, who.run_id, RunPlace(who.session_id, who.agent, ""), who.user_id)
    await services.conversations.directory.enter_session(_begun(runs[0][0]))


async def _keep(store: ConversationStore, attempts: Sequence[AttemptFact], number: int, now: datetime | None) -> None:
    """Store a run; with `now` also its session, as of then."""
    who = attempts[0].who
    query = QUESTIONS[who.agent][number % len(QUESTIONS[who.agent])]

    def decide(stored: StoredConversation) -> ConversationChange | None:
        if stored.run is not None:
            return None
        change = ended_run(stored.session or _begun(attempts[0]), attempts, query, number)
        if now is None or change.session is None or not _over(attempts, now):
            return change
        at = attempts[-1].timing.ended_at + _IDLE_AFTER
        over = replace(change.session, state=SessionState.ENDED, end=End(IDLE_TIMEOUT, at))
        return replace(change, session=over, events=[*change.events, state_event(over, at, IDLE_TIMEOUT)])

    await store.update(who.workspace, who.session_id, who.run_id, decide)


def ended_run(session: Session, attempts: Sequence[AttemptFact], query: str, number: int) -> ConversationChange:
    """Return the stored result of a run with these attempts, as a change of its session."""
    first, final = attempts[0], attempts[-1]
    accepted, ended = first.timing.accepted_at, final.timing.ended_at
    succeeded = final.ending is Ending.SUCCEEDED
    answer = _ANSWER.format(query=query) if succeeded else None
    costs = Costs()
    for fact in attempts:
        own = sum((call.spend for call in fact.calls), Spend())
        costs = after(costs, own, fact.ending, None, went_on=False)
    run = Run(
        final.who.run_id,
        session.workspace,
        session.id,
        session.agent,
        RunInput(query, 1, session.user_id, {"sample": "true"}),
        Times(accepted, first.timing.started_at, ended),
        Dispatch(number=number + 1),
        RunState.SUCCEEDED if succeeded else RunState.FAILED,
        Stage.COMPLETED if succeeded else Stage.FAILED,
        last=Attempt(final.attempt, final.timing.claimed_at, ending=final.ending, ended_at=ended, code=final.code),
        result=Result(
            answer,
            final.calls[-1].model,
            final.who.version,
            final.score,
            "stop" if succeeded else None,
            None if succeeded else RunError(final.code, "The model did not answer in time."),
        ),
        costs=costs,
    )
    turns = [Turn("user", query, run.id, accepted), Turn("assistant", answer, run.id, ended)] if answer else []
    after_it = session.counting(runs=1)
    state = SessionState.ACTIVE if succeeded else session.state
    after_it = replace(after_it, state=state, last_activity=ended, spend=session.spend + costs.spend)
    events = [Event("run.queued", {"run_id": run.id}, accepted), *_events(run, attempts)]
    if not session.runs:
        events.insert(0, state_event(session, accepted))
    return ConversationChange(after_it, run, turns, events)


def _events(run: Run, attempts: Sequence[AttemptFact]) -> Iterator[Event]:
    for fact in attempts:
        tried = replace(run, last=replace(run.last, number=fact.attempt))
        yield stage_event(tried, Stage.INITIALIZING, fact.timing.claimed_at or fact.timing.accepted_at)
        yield stage_event(tried, Stage.RUNNING, fact.calls[0].at)
        if fact.ending is Ending.RETRIED:
            data = {"run_id": run.id, "attempt": fact.attempt, "code": fact.code}
            yield Event("run.retrying", data, fact.timing.ended_at)
        else:
            stage = Stage.COMPLETED if fact.ending is Ending.SUCCEEDED else Stage.FAILED
            yield stage_event(tried, stage, fact.timing.ended_at, fact.code or None)
