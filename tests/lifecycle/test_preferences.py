"""What a user prefers, as the model is told it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.memory_tables import MemoryTables
from kernel.errors import Conflict, EtagMismatch, NotFound
from kernel.tables import Span
from lifecycle.configuration.preferences import MAX_NOTE, MAX_TEXT, Preferences, preference_text, preferring
from lifecycle.configuration.user_preferences import UserPreferenceStore
from lifecycle.sessions.start import SessionOptions
from tests.lifecycle.app import App

PREFERENCES = st.builds(
    Preferences,
    language=st.none() | st.sampled_from(["de", "pt-BR", "zh-Hant-TW"]),
    verbosity=st.sampled_from([None, "brief", "normal", "detailed"]),
    formality=st.sampled_from([None, "casual", "neutral", "formal"]),
    format=st.sampled_from([None, "prose", "bullets", "table", "plain_text"]),
    expertise=st.sampled_from([None, "beginner", "practitioner", "expert"]),
    units=st.sampled_from([None, "metric", "imperial"]),
    time_zone=st.none() | st.just("Europe/Zurich"),
    note=st.none() | st.text(min_size=1, max_size=MAX_NOTE),
)


@given(PREFERENCES)
def test_the_text_says_each_preference_once_and_is_bounded(preferences: Preferences) -> None:
    """A line for each, none that begins a new section, and never more than MAX_TEXT."""
    text = preference_text(preferences)
    given_ = preferences.model_dump(exclude_none=True)
    note = given_.pop("note", "").split()

    assert len(text) <= MAX_TEXT
    assert text == preference_text(preferences)
    wishes = len(given_) + bool(note)
    assert len(text.split("\n")) == 1 + wishes
    assert bool(text) == bool(wishes)


@given(PREFERENCES, PREFERENCES, PREFERENCES)
def test_what_is_asked_now_counts(one: Preferences, two: Preferences, three: Preferences) -> None:
    """Field by field, associative, and nothing asked changes nothing."""
    both = preferring(one, two)

    for field in Preferences.model_fields:
        now = getattr(two, field)
        assert getattr(both, field) == (getattr(one, field) if now is None else now)
    assert preferring(preferring(one, two), three) == preferring(one, preferring(two, three))
    assert preferring(one, Preferences()) == one


def test_the_text_for_a_model() -> None:
    """It is the user's voice, and leaves the agent's instructions above it."""
    text = preference_text(Preferences(language="de-CH", verbosity="brief", note="Ich bin\nfarbenblind."))

    assert text == (
        "How I like to be answered, as far as your instructions allow:\n"
        "- Answer in the language with the tag de-CH, whatever language I write in.\n"
        "- Be brief: the answer first, and nothing that was not asked for.\n"
        "- Ich bin farbenblind."
    )


@pytest.mark.parametrize(
    "body",
    [{"language": "German!"}, {"verbosity": "chatty"}, {"note": "x" * (MAX_NOTE + 1)}, {"note": ""}, {"tone": "x"},
     {"time_zone": "Europe/Zurich\n"}],
)  # fmt: skip
def test_what_is_no_preference_is_refused(body: dict[str, Any]) -> None:
    """Unknown values and fields, and notes that are too long."""
    with pytest.raises(ValidationError):
        Preferences.model_validate(body)


async def test_what_users_prefer_is_kept_by_workspace() -> None:
    """Versions count, conditions hold, and what is deleted is gone without a trace."""
    tables = MemoryTables()
    users = UserPreferenceStore(tables)
    brief, formal = Preferences(verbosity="brief"), Preferences(formality="formal")
    first, new = await users.put("a", "ada@x.org", brief)
    same, again = await users.put("a", "ada@x.org", brief)
    with pytest.raises(EtagMismatch):
        await users.put("a", "ada@x.org", formal, '"7"')
    with pytest.raises(EtagMismatch):
        await users.put("a", "bob", formal, "*")
    changed, _ = await users.put("a", "ada@x.org", formal, first.etag)

    assert (new, again, same.etag, changed.etag) == (True, False, '"1"', '"2"')
    assert (await users.get("a", "ada@x.org")).preferences == formal
    for workspace, user in (("b", "ada@x.org"), ("a", "bob")):
        assert (await users.find(workspace, user)).preferences == Preferences()
        with pytest.raises(NotFound):
            await users.get(workspace, user)
        with pytest.raises(NotFound):
            await users.delete(workspace, user)
    with pytest.raises(EtagMismatch):
        await users.delete("a", "ada@x.org", '"1"')
    await users.delete("a", "ada@x.org", '"2"')
    assert (await tables.query("configuration", Span("a!preferences"))).rows == []


async def test_many_at_once_agree_on_what_a_user_prefers() -> None:
    """Each change is a version; none is lost."""
    users = UserPreferenceStore(MemoryTables())
    wishes = [Preferences(note=f"{at}") for at in range(8)]
    await asyncio.gather(*(users.put("a", "ada", options) for options in wishes))

    assert (await users.get("a", "ada")).version == 8


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    await app.declare()
    yield app
    await app.aclose()


async def test_a_session_takes_up_what_its_user_usually_prefers(app: App) -> None:
    """Started by a run or beforehand; what the session asks for counts more; a later change is for later sessions."""
    usual = Preferences(language="de", verbosity="brief")
    await app.services.configuration.users.put("default", "ada", usual)
    accepted = await app.submit(user_id="ada")
    _, by_run = await app.stored(accepted.run)
    start, asked = app.services.sessions.start, SessionOptions("ada", preferences=Preferences(verbosity="detailed"))
    beforehand, new = await start.start("default", "bot", "s1", asked)
    repeated, created_again = await start.start("default", "bot", "s1", asked)
    with pytest.raises(Conflict):
        await start.start("default", "bot", "s1", SessionOptions("ada", preferences=Preferences(format="table")))
    await app.services.configuration.users.delete("default", "ada")
    later, _ = await start.start("default", "bot", "s2", SessionOptions("ada"))
    nobodys, _ = await start.start("default", "bot", "s3")

    assert by_run.preferences == usual
    assert beforehand.preferences == Preferences(language="de", verbosity="detailed")
    assert (new, created_again, repeated.preferences) == (True, False, beforehand.preferences)
    assert (later.preferences, nobodys.preferences) == (None, None)


async def test_a_user_makes_no_version_of_an_agent(app: App) -> None:
    """Two users with preferences of their own are answered by the same version."""
    await app.services.configuration.users.put("default", "ada", Preferences(language="de"))
    await app.services.configuration.users.put("default", "bob", Preferences(language="fr"))
    runs = [await app.ask(user_id=user) for user in ("ada", "bob")]
    record = (await app.services.agents.catalog.get("default", "bot")).record

    assert [run.version for run in runs] == ["1", "1"]
    assert record is not None
    assert record.created == 1
