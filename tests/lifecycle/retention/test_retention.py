"""What a policy no longer keeps is deleted, what is held stays, and sums stay in any case."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from kernel.codec import Unreadable
from kernel.errors import EtagMismatch, InvalidInput, NotFound
from kernel.tables import Span, Upsert, every
from lifecycle.conversations.session import ProviderConversations, RetainedConversation, SessionState
from lifecycle.conversations.session_rows import TABLE as CONVERSATIONS
from lifecycle.conversations.session_rows import partition_of
from lifecycle.conversations.session_store import ConversationChange, StoredConversation
from lifecycle.retention.policy import DataRetentionPolicy, LegalHold, Part, parse_hold_scope
from lifecycle.sessions.erase import OnHold
from llmops.spend.costs import Group
from llmops.spend.usage import Spend
from tests.lifecycle.app import App
from tests.lifecycle.doubles import NOW, CountingTables
from tests.lifecycle.test_erasing import TABLES

DAY_S = 86_400
POLICY = DataRetentionPolicy(sessions_s=30 * DAY_S)


async def started(tables: CountingTables | None = None) -> App:
    app = App(tables or CountingTables())
    await app.declare()
    return app


async def talk(app: App, session: str, user: str = "ada", *, end: bool = True) -> None:
    """Have one run answered in the session, and end it."""
    await app.ask(f"Question of {session}", session_id=session, user_id=user)
    if end:
        await app.services.sessions.end.end("default", session)


async def hold(app: App, scope: str) -> None:
    await app.services.sessions.retention.place("default", LegalHold(parse_hold_scope(scope), "case 7", NOW))


async def left(app: App, *sessions: str) -> list[str]:
    """Return which of the sessions are not erased."""
    loaded = [(await app.services.conversations.store.load("default", session)).session for session in sessions]
    return [found.id for found in loaded if found is not None and found.state is not SessionState.ERASED]


async def test_sessions_are_erased_so_long_after_their_end_and_no_others() -> None:
    """One that ended later, one that never ended and one of another workspace stay; the receipt counts."""
    app = await started()
    await app.services.sessions.retention.put_policy("default", POLICY, None)
    await talk(app, "old")
    await talk(app, "open", end=False)
    app.clock.move(days=25)
    await talk(app, "young")
    app.clock.move(days=6)
    preview = await app.services.sessions.retention_rounds.preview("default")
    untouched = await left(app, "old", "open", "young")
    [receipt] = await app.services.sessions.retention_rounds.run()

    assert {(found.session_id, found.erase, found.reason) for found in preview.verdicts} == {
        ("old", True, "due"),
        ("open", False, "not ended"),
    }
    assert untouched == ["old", "open", "young"]
    assert await left(app, "old", "open", "young") == ["open", "young"]
    assert (receipt.sessions, receipt.runs, receipt.messages, receipt.held, receipt.complete) == (1, 1, 2, 0, True)
    assert (await app.services.sessions.retention.receipts("default", 10))[0] == [receipt]
    assert await app.services.sessions.retention_rounds.run() == []
    await app.aclose()


async def test_without_a_policy_everything_stays_and_a_round_costs_one_request() -> None:
    """However many sessions there are."""
    tables = CountingTables()
    app = await started(tables)
    await talk(app, "old")
    app.clock.move(days=4000)
    tables.reset()
    done = await app.services.sessions.retention_rounds.run()

    assert done == []
    assert dict(tables.operations) == {"query retention": 1}
    assert await left(app, "old") == ["old"]
    await app.aclose()


async def test_a_round_costs_in_proportion_to_what_is_due() -> None:
    """Sessions that are too young are not even read."""
    tables = CountingTables()
    app = await started(tables)
    await app.services.sessions.retention.put_policy("default", POLICY, None)
    for number in range(40):
        await talk(app, f"young-{number}", end=False)
    tables.reset()
    await app.services.sessions.retention_rounds.run()

    assert tables.operations["get conversations"] == 0
    assert sum(count for name, count in tables.operations.items() if not name.startswith("commit")) <= 12
    await app.aclose()


async def keep_at_provider(app: App, session: str) -> None:
    """Have the session a conversation at a provider that is not configured any more."""

    def decide(stored: StoredConversation) -> ConversationChange:
        assert stored.session is not None
        kept = ProviderConversations(kept=(RetainedConversation("gone", "conv-1"),))
        return ConversationChange(replace(stored.session, at_provider=kept))

    await app.services.conversations.store.update("default", session, None, decide)


async def spoil(app: App, session: str) -> None:
    """Make the session's row unreadable."""
    found = await app.services.core.tables.get(CONVERSATIONS, partition_of("default", session), "session")
    assert found is not None
    texts = {name: "{" for name, value in found.values.items() if str(value).startswith("{")}
    assert texts
    await app.services.core.tables.commit(CONVERSATIONS, [Upsert(replace(found, values={**found.values, **texts}))])


async def test_a_session_that_cannot_be_erased_keeps_no_other() -> None:
    """Its provider is gone, or its row is damaged: the rest is erased, and the receipt says that something is left."""
    app = await started()
    await app.services.sessions.retention.put_policy("default", POLICY, None)
    names = [f"s{number}" for number in range(12)]
    for name in names:
        await talk(app, name)
    await keep_at_provider(app, "s11")
    await spoil(app, "s10")
    app.clock.move(days=31)
    [receipt] = await app.services.sessions.retention_rounds.run()

    assert (receipt.sessions, receipt.complete) == (10, False)
    assert await left(app, *names[:10]) == []
    assert await app.services.sessions.retention_rounds.run() == []
    await app.aclose()


async def test_a_policy_that_cannot_be_read_keeps_no_other_workspace_from_its_own() -> None:
    """A later release wrote it, or it is damaged: nothing there is erased, and the others' rounds go on."""
    app = await started()
    await app.services.sessions.retention.put_policy("default", POLICY, None)
    await talk(app, "old")
    await app.services.sessions.retention.put_policy("another", POLICY, None)
    row = await app.tables.get("retention", "another", "policy")
    assert row
    await app.tables.commit("retention", [Upsert(replace(row, values={"policy": '{"later": 1}'}))])
    app.clock.move(days=31)
    receipts = await app.services.sessions.retention_rounds.run()

    assert [(receipt.sessions, receipt.complete) for receipt in receipts] == [(1, True)]
    with pytest.raises(Unreadable):
        await app.services.sessions.retention.policy("another")
    await app.aclose()


@pytest.mark.parametrize("scope", ["workspace", "agent:bot", "user:ada", "session:old"])
async def test_what_is_held_stays_until_the_hold_is_released(scope: str) -> None:
    """Neither the policy nor a call erases it; afterwards both do."""
    app = await started()
    retention = app.services.sessions.retention
    await retention.put_policy("default", POLICY, None)
    await talk(app, "old")
    app.clock.move(days=31)
    await hold(app, scope)
    receipts = await app.services.sessions.retention_rounds.run()
    preview = await app.services.sessions.retention_rounds.preview("default")
    with pytest.raises(OnHold):
        await app.services.sessions.erasure.erase("default", "old")
    kept = await left(app, "old")
    await retention.release("default", parse_hold_scope(scope), "ann")
    [receipt] = await app.services.sessions.retention_rounds.run()

    assert receipts == []
    assert [found.reason for found in preview.verdicts] == [f"legal hold on {scope}"]
    assert kept == ["old"]
    assert receipt.sessions == 1
    assert await left(app, "old") == []
    await app.aclose()


async def test_a_user_who_is_held_is_not_erased() -> None:
    """Nothing of it is; the preferences neither."""
    app = await started()
    await talk(app, "chat")
    await hold(app, "user:ada")
    with pytest.raises(OnHold):
        await app.services.sessions.user_erasure.erase("default", "ada")
    kept = await left(app, "chat")
    other = await app.services.sessions.user_erasure.erase("default", "bob")

    assert kept == ["chat"]
    assert other.completed_at is not None
    await app.aclose()


async def test_a_users_session_that_is_held_for_itself_is_erased_once_it_is_released() -> None:
    """The others at once; the timer has the rest, and the receipt says that it is not done."""
    app = await started()
    await talk(app, "held")
    await talk(app, "free")
    await hold(app, "session:held")
    receipt = await app.services.sessions.user_erasure.erase("default", "ada")
    unfinished = await app.services.sessions.user_erasure.finish()
    kept = await left(app, "held", "free")
    await app.services.sessions.retention.release("default", parse_hold_scope("session:held"), None)
    finished = await app.services.sessions.user_erasure.finish()

    assert (receipt.sessions, receipt.held, receipt.completed_at) == (1, 1, None)
    assert (unfinished, finished) == (0, 1)
    assert kept == ["held"]
    assert await left(app, "held", "free") == []
    await app.aclose()


@pytest.mark.parametrize("scope", ["session:held", "agent:bot"])
async def test_erasing_a_user_changes_nothing_of_what_is_held(scope: str) -> None:
    """Neither of the user's own session nor of one that is nobody's: runs, directory and facts still name the user."""
    app = await started()
    await talk(app, "held", "grace", end=False)
    await hold(app, scope)
    before = await naming(app, "grace")
    receipt = await app.services.sessions.user_erasure.erase("default", "grace")
    kept = await naming(app, "grace")
    await app.services.sessions.retention.release("default", parse_hold_scope(scope), None)
    finished = await app.services.sessions.user_erasure.finish()

    assert before
    assert kept == before
    assert (receipt.sessions, receipt.runs, receipt.held, receipt.completed_at) == (0, 0, 1, None)
    assert (finished, await naming(app, "grace")) == (1, [])
    await app.aclose()


async def test_what_a_user_asked_in_a_held_session_of_nobodys_stays() -> None:
    """It is the session that is held, with whoever asked in it."""
    app = await started()
    await app.services.sessions.start.start("default", "bot", "shared")
    await app.ask("Question", session_id="shared", user_id="grace")
    await hold(app, "session:shared")
    before = await naming(app, "grace")
    receipt = await app.services.sessions.user_erasure.erase("default", "grace")
    kept = await naming(app, "grace")
    await app.services.sessions.retention.release("default", parse_hold_scope("session:shared"), None)
    finished = await app.services.sessions.user_erasure.finish()

    assert before
    assert kept == before
    assert (receipt.sessions, receipt.runs, receipt.held, receipt.completed_at) == (0, 0, 1, None)
    assert (finished, await naming(app, "grace")) == (1, [])
    await app.aclose()


async def naming(app: App, user: str) -> list[str]:
    """Return the rows that name the user; without that the user is to be erased."""
    tables = [table for table in TABLES if table != "due"]
    rows = [row for table in tables async for row in every(app.tables, table, Span(" ", partition_before="~"))]
    return sorted(f"{row.partition} {row.key} {values}" for row in rows if user in (values := str(dict(row.values))))


async def facts(app: App) -> int:
    rows = every(app.tables, "facts", Span("2", partition_before="3", key_from="fact!", key_before="fact!~"))
    return len([row async for row in rows])


async def spent(app: App, first: date) -> dict[date, dict[Group, Spend]]:
    """Return the sums of three days."""
    last = first + timedelta(days=2)
    return await app.services.spend.daily_costs.sums("default", first, last, app.clock.now.date())


async def test_details_of_attempts_are_deleted_by_days_and_their_sums_stay() -> None:
    """Costs are the same before and after; a second round finds nothing."""
    app = await started()
    retention = app.services.sessions.retention
    await retention.put_policy("default", DataRetentionPolicy(facts_s=30 * DAY_S), None)
    first = app.clock.now.date()
    for day in range(3):
        await talk(app, f"chat-{day}")
        await app.services.spend.daily_costs.aggregate(app.clock.now)
        app.clock.move(days=1)
    before = await facts(app)
    costs = await spent(app, first)
    app.clock.move(days=30)
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    preview = await app.services.sessions.retention_rounds.preview("default")
    [receipt] = await app.services.sessions.retention_rounds.run()
    again = await app.services.sessions.retention_rounds.run()
    after = await spent(app, first)

    assert before == 3
    assert preview.days == {Part.FACTS: [first + timedelta(days=day) for day in range(3)]}
    assert (receipt.facts, receipt.sessions) == (3, 0)
    assert again == []
    assert await facts(app) == 0
    assert len(costs) == 3
    assert after == costs
    await app.aclose()


async def test_details_stay_while_anything_is_held() -> None:
    """They do not say whose they are any more once a session is erased, so nobody could sort them out."""
    app = await started()
    await app.services.sessions.retention.put_policy("default", DataRetentionPolicy(facts_s=30 * DAY_S), None)
    await talk(app, "chat")
    await app.services.spend.daily_costs.aggregate(app.clock.now)
    app.clock.move(days=40)
    await hold(app, "user:somebody")

    assert await app.services.sessions.retention_rounds.run() == []
    assert await facts(app) == 1
    await app.aclose()


async def test_a_policy_is_changed_by_who_has_read_it() -> None:
    """As everything that is replaced."""
    app = await started()
    retention = app.services.sessions.retention
    nothing, none = await retention.policy("default")
    etag = await retention.put_policy("default", POLICY, None)
    with pytest.raises(EtagMismatch):
        await retention.put_policy("default", POLICY, 'W/"0"')
    await retention.put_policy("default", DataRetentionPolicy(), etag)

    assert (nothing, none) == (DataRetentionPolicy(), "")
    assert (await retention.policy("default"))[0] == DataRetentionPolicy()
    await app.aclose()


async def test_a_hold_that_stands_is_not_changed_and_one_that_does_not_cannot_be_released() -> None:
    """Who placed it, and why, stays."""
    app = await started()
    retention = app.services.sessions.retention
    scope = parse_hold_scope("user:ada")
    first = LegalHold(scope, "case 7", NOW, "ann")
    placed = [await retention.place("default", hold) for hold in (first, LegalHold(scope, "other", NOW, "bob"))]
    elsewhere = await retention.holds("other")
    await retention.release("default", scope, "ann")
    with pytest.raises(NotFound):
        await retention.release("default", scope, "ann")

    assert placed == [(first, True), (first, False)]
    assert elsewhere == []
    await app.aclose()


@pytest.mark.parametrize("text", ["", "run:x", "user:", "agent:*", "agent:Upper", "everything", "session:a!b"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    """With what can be held."""
    with pytest.raises(InvalidInput):
        parse_hold_scope(text)
