"""A storage client that repeats a commit whose answer was lost is refused by its own doing, which is not another's."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest

from kernel.tables import Write
from lifecycle.conversations.run import Run
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from tests.lifecycle.doubles import MemoryTables, RepeatingTables
from tests.lifecycle.teams.app import ANN, TeamApp, hands_over, path, team_app
from tests.lifecycle.teams.kit import BILLING, PEOPLE, TECH, TRIAGE, changed, team

NOTE = HandoffRequest(Wanted(), "person", "agreed")
Story = Callable[[TeamApp, Run], Awaitable[Counter[str]]]


class Repeating(RepeatingTables):
    """Repeats commits of the tables alone that teams change, of which `others` are left out."""

    def __init__(self, *others: str) -> None:
        super().__init__()
        self._own = {"teams", "conversations", "due"} - set(others)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        own = table in self._own
        return await super().commit(table, writes) if own else await MemoryTables.commit(self, table, writes)


async def _people(app: TeamApp, run: Run) -> Counter[str]:
    """Have Ann take it, put it back, take it again, answer, and give the conversation back with what waits yet."""
    people, session_id, send = app.services.teams.people, run.session_id, app.queue.send
    await people.claim("default", session_id, ANN)
    await people.release("default", session_id, ANN)
    await people.claim("default", session_id, ANN)
    answered = await people.reply("default", session_id, ANN, "Ann here")
    last = await app.asked("and now?", session_id=session_id)
    await people.return_("default", session_id, ANN, Wanted("triage"), NOTE, send)
    done = await app.drained(last)

    assert (answered.answer, done.answer, path(done)) == ("Ann here", "triage speaking", ["triage"])
    assert await app.loads() == {"triage": 1}
    assert (await app.services.teams.inbox.page("default", 9))[0] == []
    return Counter({"person.claimed": 2, "person.released": 1, "person.replied": 1, "handoff.initiated": 1})


async def _operator(app: TeamApp, run: Run) -> Counter[str]:
    """Have an operator hand the conversation over, whose run an agent then answers."""
    hop = HandoffRequest(Wanted("billing"), "operator", "nobody is there")
    await app.services.teams.handoffs.hand_over("default", run.session_id, hop, app.queue.send)
    done = await app.drained(run)

    assert (done.answer, path(done)) == ("billing speaking", ["billing"])
    assert await app.loads() == {"billing": 1}
    return Counter({"handoff.initiated": 1, "handoff.completed": 1})


async def _escalation(app: TeamApp, run: Run) -> Counter[str]:
    """Have the conversation wait too long, twice."""
    for _ in range(2):
        app.clock.move(minutes=20)
        await app.services.teams.waiting_for_people.sweep(app.queue.send)
    done = await app.drained(run)

    assert (done.answer, path(done)) == ("billing speaking", ["billing"])
    assert await app.loads() == {"billing": 1}
    return Counter({"handoff.initiated": 1, "handoff.completed": 1})


@pytest.mark.parametrize("story", [_people, _operator, _escalation])
async def test_what_took_effect_unnoticed_is_ones_own(story: Story) -> None:
    """Whichever commit is repeated: nobody is refused, everything happens once, and is told once."""
    value = team(TRIAGE, BILLING, PEOPLE, escalation_path=[{"level": 1, "target": "billing", "after_s": 900}])
    number = 0
    for number in itertools.count(1):
        app = await team_app(tables := Repeating(), value)
        run = await app.answered("a person, please")
        before = Counter(await app.event_names(run))
        tables.at, tables.count = number, 0
        expected = await story(app, run)
        struck = tables.count >= number
        tables.at = 0
        told = Counter(await app.event_names(run)) - before
        assert {name: told[name] for name in expected} == expected, number
        if not struck:
            break
    assert number > 4


async def test_a_model_that_hands_over_and_a_conversation_that_waits_for_room_are_once_too() -> None:
    """A new conversation of a team, its handoff, and one that gets room: one seat each, one answer each."""
    full = team(changed(TRIAGE, handoff_triggers=[], max_workload=1), changed(TECH, max_workload=1))
    number = 0
    for number in itertools.count(1):
        app = await team_app(tables := Repeating("conversations", "due"), full, triage=hands_over("triage", "tech"))
        tables.at, tables.count = number, 0
        first = await app.answered("hello")
        second = await app.asked("hello")
        third = await app.asked("hello")
        await app.services.sessions.end.end("default", first.session_id)
        await app.drained(second)
        app.clock.move(minutes=1)
        since = len(app.queue.sent)
        given = await app.services.teams.waiting_sessions.sweep(app.queue.send)
        last = await app.drained(third, since)
        struck = tables.count >= number
        tables.at = 0

        assert (first.answer, path(first), given) == ("tech speaking", ["tech"], 1), number
        assert last.state == "succeeded", number
        assert sum((await app.loads()).values()) == 2, number
        if not struck:
            break
    assert number > 6
