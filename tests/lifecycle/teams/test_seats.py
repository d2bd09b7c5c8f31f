"""Workload is the number of rows that there are: never more than a member may hold, never fewer than it does."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from kernel.errors import Conflict, InvalidInput, NotFound, Unavailable
from kernel.tables import Row, Span
from lifecycle.conversations.session import SessionState
from tests.lifecycle.doubles import MemoryTables
from tests.lifecycle.teams.app import TeamApp, path, team_app
from tests.lifecycle.teams.kit import BILLING, TECH, TRIAGE, changed, team

ARRIVALS = 200


class Jumbled(MemoryTables):
    """Memory tables whose answers to requests made at the same time come in any order, as the service's do."""

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(7)

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        await self._pause(table)
        return await super().get(table, partition, key)

    async def query(self, table: str, span: Span, **more: Any) -> Any:
        await self._pause(table)
        return await super().query(table, span, **more)

    async def commit(self, table: str, writes: Any) -> Any:
        await self._pause(table)
        return await super().commit(table, writes)

    async def _pause(self, table: str) -> None:
        if table == "teams":
            for _ in range(self._random.randrange(4)):
                await asyncio.sleep(0)


@pytest.mark.parametrize("overflow", ["queue", "refuse"])
async def test_two_hundred_arrivals_at_once_fill_every_seat_and_no_more(overflow: str) -> None:
    """With four workers, each with its own idea of who has room; what finds none waits, or is refused."""
    plain = changed(TRIAGE, handoff_triggers=[], max_workload=13)
    value = team(plain, changed(BILLING, max_workload=7), changed(TECH, max_workload=20), overflow=overflow)
    app = await team_app(Jumbled(), value)
    workers = [app.worker() for _ in range(4)]
    came = await asyncio.gather(
        *(app.asked("hello", worker=workers[n % 4]) for n in range(ARRIVALS)), return_exceptions=True
    )
    refused = [each for each in came if isinstance(each, BaseException)]
    assert all(isinstance(each, Unavailable) and each.code == "team_full" for each in refused)
    assert len(refused) == (ARRIVALS - 40 if overflow == "refuse" else 0)
    members: Counter[str] = Counter()
    for run in came:
        if not isinstance(run, BaseException):
            _, session = await app.stored(run)
            served = session.served
            assert served is not None
            members[served.member] += 1
            assert (served.member == "") == (session.state is SessionState.WAITING)
    assert {name: count for name, count in members.items() if name} == {"triage": 13, "billing": 7, "tech": 20}
    assert await app.loads() == {"triage": 13, "billing": 7, "tech": 20}
    for worker in workers:
        await worker.agents.use_recorder.aclose()


async def _full(**fields: Any) -> TeamApp:
    value = team(changed(TRIAGE, handoff_triggers=[], max_workload=1), **fields)
    return await team_app(value=value)


async def test_what_waits_for_room_is_given_to_who_has_some_again() -> None:
    """In the order it came; the same run goes on, with the hop noted."""
    app = await _full()
    first = await app.answered("one")
    second = await app.asked("two")
    app.clock.move(seconds=1)
    third = await app.asked("three")
    assert (second.state, third.state) == ("waiting", "waiting")
    assert await app.services.teams.waiting_sessions.sweep(app.queue.send) == 0
    await app.services.sessions.end.end("default", first.session_id)
    since = len(app.queue.sent)
    assert await app.services.teams.waiting_sessions.sweep(app.queue.send) == 1
    answered = await app.drained(second, since)
    assert (answered.answer, path(answered)) == ("triage speaking", ["triage"])
    assert (await app.stored(third))[0].state == "waiting"
    names = await app.event_names(second)
    assert "session.state_changed waiting" in names
    assert not [name for name in names if name.startswith("handoff")]


async def test_a_backup_has_what_finds_no_room_elsewhere() -> None:
    """And no other conversation."""
    value = team(
        changed(TRIAGE, handoff_triggers=[], max_workload=1),
        changed(TECH, role="backup", capabilities=["hello"]),
        overflow="backup",
    )
    app = await team_app(value=value)
    answers = [(await app.answered("hello")).answer for _ in range(2)]
    assert answers == ["triage speaking", "tech speaking"]


async def test_a_seat_left_behind_is_given_back_when_it_is_met() -> None:
    """As one is of a worker that died before it stored the session, once it cannot be on its way any more."""
    app = await _full(overflow="refuse")
    member = (await app.services.teams.store.of("default", "support")).members[0]
    assert await app.services.teams.seats.take("default", "support", member, "lost")
    with pytest.raises(Unavailable):
        await app.asked("hello")
    app.clock.move(minutes=11)
    assert (await app.answered("hello")).answer == "triage speaking"


async def test_a_session_that_is_over_makes_room() -> None:
    """However it ended: on request, or because nothing happened in it for as long as the team allows."""
    app = await _full(overflow="refuse", idle_timeout_s=600)
    first = await app.answered("hello")
    await app.services.sessions.end.end("default", first.session_id)
    second = await app.answered("hello")
    assert second.answer == "triage speaking"
    app.clock.now += timedelta(hours=2)
    assert await app.services.sessions.end.expire() == 1
    assert await app.services.teams.seats.taken("default", "support") == []
    assert (await app.answered("hello")).answer == "triage speaking"


async def test_fewer_seats_than_are_taken_leave_none_over() -> None:
    """A team whose member may hold less than it does gives it nothing before it has room by the new count."""
    app = await team_app(value=team(changed(TRIAGE, handoff_triggers=[], max_workload=3), overflow="refuse"))
    runs = [await app.answered("hello") for _ in range(3)]
    smaller = team(changed(TRIAGE, handoff_triggers=[], max_workload=2), overflow="refuse")
    await app.services.teams.store.put("default", "support", smaller)
    for run in runs[:1]:
        await app.services.sessions.end.end("default", run.session_id)
        app.clock.move(minutes=1)
        with pytest.raises(Unavailable):
            await app.asked("hello")
    await app.services.sessions.end.end("default", runs[1].session_id)
    app.clock.move(minutes=1)
    assert (await app.answered("hello")).answer == "triage speaking"
    assert await app.loads() == {"triage": 2}


async def test_a_team_with_open_conversations_is_not_deleted_nor_loses_their_member() -> None:
    """It is said which; once they have ended, it can be."""
    app = await team_app()
    run = await app.answered("hello")
    with pytest.raises(Conflict) as caught:
        await app.services.teams.store.delete("default", "support")
    assert caught.value.code == "team_in_use"
    assert caught.value.fields == {f"/sessions/{run.session_id}": "is with triage"}
    with pytest.raises(Conflict, match="gone from it"):
        await app.services.teams.store.put("default", "support", team(BILLING, TECH))
    await app.services.sessions.end.end("default", run.session_id)
    await app.services.teams.store.delete("default", "support")


async def test_a_team_that_conversations_wait_for_is_not_deleted() -> None:
    """Nobody would ever answer them: a run waits for a member that cannot come any more."""
    app = await _full()
    first, second = await app.answered("one"), await app.asked("two")
    await app.services.sessions.end.end("default", first.session_id)
    with pytest.raises(Conflict) as caught:
        await app.services.teams.store.delete("default", "support")
    assert (caught.value.code, caught.value.fields) == (
        "team_in_use",
        {f"/sessions/{second.session_id}": "waits for a member"},
    )
    await app.services.runs.queries.cancel("default", second.id)
    await app.services.sessions.end.end("default", second.session_id)
    await app.services.teams.store.delete("default", "support")


async def test_members_are_agents_of_the_same_workspace() -> None:
    """One that only another workspace has is there for nobody else, and is refused with its place."""
    app = await team_app()
    await app.declare("billing", workspace="elsewhere")
    with pytest.raises(InvalidInput) as caught:
        await app.services.teams.store.put("elsewhere", "support", team(BILLING, TECH))
    assert (caught.value.code, list(caught.value.fields)) == ("unknown_member", ["/members/1/agent"])
    with pytest.raises(NotFound):
        await app.services.teams.store.get("elsewhere", "support")


async def test_the_agents_of_a_team_are_not_pruned() -> None:
    """However long nobody asked them; once the team is gone, they are like any other."""
    app = await team_app(value=team(BILLING, TECH))
    for agent in ("billing", "tech"):
        await app.services.agents.administration.prewarm("default", agent, app.signals)
    app.clock.move(days=30)
    verdicts = {each.agent: (each.action, each.reason) for each in await app.services.agents.prune.plan()}
    assert verdicts == dict.fromkeys(("billing", "tech"), ("keep", "is a member of a team"))
    await app.services.teams.store.put("default", "support", team(TECH))
    actions = {each.agent: each.action for each in await app.services.agents.prune.plan()}
    assert actions == {"billing": "retire", "tech": "keep"}
