"""Storage as the service may behave: pages that are short or empty, and names that could meet."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from kernel.errors import Conflict, NotFound
from kernel.ids import new_id
from lifecycle.registry.record import AgentState
from lifecycle.specs.spec import provider_name
from llmops.reports.periods import period_of
from tests.lifecycle.app import App
from tests.lifecycle.doubles import ManualClock, ShortPageTables, live_versions, spec

DAY = date(2026, 11, 21)


async def test_short_and_empty_pages_hide_nothing() -> None:
    """The main path, lists, history, expiry, prune and reports over a store that pages as unkindly as it may."""
    app = App(ShortPageTables(), SESSION_IDLE_AFTER_S=86400)
    await app.declare()
    await app.declare("other")
    for number in range(2):
        await app.ask(f"Message {number}", session_id="chat")
    run = await app.ask("Message 2", session_id="chat")
    assert "in turn 3" in (run.answer or "")
    assert len(await app.turns(run)) == 6
    assert len(await app.services.conversations.store.events("default", "chat", 0, 1000)) > 6
    listed, _ = await app.services.agents.catalog.list("default", 10)
    entries, _ = await app.services.conversations.directory.sessions(
        "default", agent=None, user_id=None, limit=9, after=None
    )
    assert ([agent.name for agent in listed], [entry.session_id for entry in entries]) == (["bot", "other"], ["chat"])
    assert await app.services.conversations.directory.has_open_session("default", "bot")
    await app.aclose()
    done = await app.services.spend.daily_costs.aggregate(app.clock.now)
    assert (done.folded, done.changed) == (3, 1)
    app.clock.move(days=9)
    assert await app.services.sessions.end.expire() == 1
    verdicts = await app.services.agents.prune.run(app.signals)

    assert [(verdict.agent, verdict.retire) for verdict in verdicts] == [("bot", True)]
    assert (await app.services.spend.daily_costs.aggregate(app.clock.now)).days[0] == DAY


async def test_workspaces_never_meet() -> None:
    """The same names and ids in two workspaces are different agents, sessions, runs, versions and costs."""
    app, ident = App(), new_id()
    for workspace, reply in (("default", "Default's."), ("team", "Team's.")):
        await app.declare(workspace=workspace, declared=spec(simulate={"reply": reply}))
    runs = []
    for workspace in ("default", "team"):
        await app.submit(workspace=workspace, run_id=ident, session_id="chat")
        runs.append(await app.process(app.queue.sent[-1]))
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    await app.services.sessions.end.end("team", "chat")
    await app.services.agents.administration.delete("team", "bot", app.signals)

    assert [run.answer for run in runs] == ["Default's.", "Team's."]
    for run in runs:
        assert len(await app.lines(run)) == 1
    assert (await app.stored(runs[0]))[1].state == "active"
    assert (await app.services.agents.catalog.get("default", "bot")).state is AgentState.ACTIVE
    assert len(await live_versions(app.tables)) == 1
    for workspace in ("default", "team"):
        report = await app.services.reports.store.get(workspace, period_of("day", DAY))
        assert report.total.calls == 1
    with pytest.raises(NotFound):
        await app.services.runs.queries.get("nobody", ident)


def test_no_agent_can_take_anothers_name_at_the_provider() -> None:
    """Readable where that is safe; else with a digest, which no plain name may end like."""
    digest = hashlib.sha256(b"team/bot").hexdigest()[:16]
    names = {
        (workspace, agent): provider_name(workspace, agent)
        for workspace in ("default", "team", "team-a")
        for agent in ("bot", "a-b", "a_b", "a-bot", "x" * 63, "x" * 62 + "y", f"team-bot-{digest}")
    }

    assert names["default", "a-b"] == "a-b"
    assert names["team", "bot"] == f"team-bot-{digest}"
    assert len(set(names.values())) == len(names)
    assert all(len(name) <= 63 and name.replace("-", "").isalnum() for name in names.values())


async def test_a_catalog_of_many_is_listed_by_name_and_by_pages() -> None:
    """Each once, deleted ones left out, with and without a record."""
    app = App(clock=ManualClock())
    for number in range(30):
        await app.declare(f"bot-{number:02}")
    for number in range(0, 30, 3):
        await app.services.agents.resolver.resolve("default", f"bot-{number:02}", app.signals)
    await app.services.agents.administration.delete("default", "bot-07", app.signals)
    seen: list[str] = []
    after: str | None = None
    while True:
        page, after = await app.services.agents.catalog.list("default", 7, after)
        seen += [agent.name for agent in page]
        for agent in page:
            assert (agent.record is not None) == (int(agent.name[-2:]) % 3 == 0)
        if after is None:
            break

    assert seen == [f"bot-{number:02}" for number in range(30) if number != 7]


async def test_declaring_is_guarded_by_its_entity_tag() -> None:
    """Two owners that change the same declaration: the second one is told, and nothing is lost."""
    app = App()
    catalog = app.services.agents.catalog
    first, new = await catalog.declare("default", "bot", spec())
    again, new_again = await catalog.declare("default", "bot", spec())
    second, _ = await catalog.declare("default", "bot", spec(instructions="x"), first.etag)
    assert (new, new_again, again.etag, first.etag, second.etag) == (True, False, '"1"', '"1"', '"2"')
    with pytest.raises(Conflict) as caught:
        await catalog.declare("default", "bot", spec(instructions="y"), first.etag)
    with pytest.raises(Conflict):
        await catalog.declare("default", "nobody", spec(), "*")
    with pytest.raises(Conflict):
        await catalog.delete("default", "bot", first.etag)
    await catalog.delete("default", "bot", second.etag)
    back, is_new = await catalog.declare("default", "bot", spec())

    assert caught.value.code == "etag_mismatch"
    assert (is_new, back.declaration.revision) == (True, 4)
