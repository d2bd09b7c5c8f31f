"""What earlier releases have written is read, goes on, and is answered with all that it was answered with then.

`python -m tests.upgrade VERSION` keeps a release's data, and `make release` does so. The version in pyproject.toml is
the one to be released next: as long as it is not, its data may be written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.codec import skipped
from lifecycle.events.catalogue import CATALOGUE
from tests.upgrade.fixture import DATA, ROOT, Fixture, load, operations, tables
from tests.upgrade.world import World


def removed(heading: str) -> set[str]:
    """Return the names in a table of docs/upgrade.md that lists what was removed after it was deprecated."""
    text = (ROOT / "docs/upgrade.md").read_text(encoding="utf-8")
    section = text.split(f"### {heading}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


@pytest.fixture(scope="module", params=sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def release(request: pytest.FixtureRequest) -> Fixture:
    """Return each release's fixture in turn."""
    path: Path = request.param
    return load(path)


def missing(then: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the places of an answer of then at which the one of now has something else, or nothing."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name, value in then.items():
            if name not in now:
                yield f"{place}/{name}: gone"
            else:
                yield from missing(value, now[name], f"{place}/{name}")
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield f"{place}: {len(then)} items, now {len(now)}"
        for number, (one, other) in enumerate(zip(then, now, strict=False)):
            yield from missing(one, other, f"{place}/{number}")
    elif then != now:
        yield f"{place}: {then!r}, now {now!r}"


async def test_everything_is_answered_as_it_was(release: Fixture) -> None:
    """Answers may have more fields than they had, and none less; no row is passed over."""
    world = await release.world()
    before = skipped.total()
    answers = await world.read(list(release.answers))
    await world.aclose()

    found = [f"{path}{each}" for path, then in release.answers.items() for each in missing(then, answers[path])]
    assert found == []
    assert skipped.total() == before


async def waited_for(world: World, run: str) -> str:
    """Return the state that a run comes to."""
    await world.timers()
    return (await world.done("GET", f"runs/{run}"))["state"]


async def test_what_was_going_on_goes_on(release: Fixture) -> None:
    """A session is talked to, a budget raised, an approval decided, an agent changed, a dead letter redriven."""
    world = await release.world()
    before = skipped.total()
    by_session = {run["session_id"]: run["id"] for run in release.answers["runs"]["items"]}
    await world.ask("clerk", "4 + 4", session_id="chat", user_id="ada")
    history = (await world.done("GET", "sessions/chat/messages"))["items"]
    await world.done("DELETE", "budgets/user:bob")
    blocked = await waited_for(world, by_session["blocked"])
    [approval] = (await world.done("GET", "approvals"))["items"]
    await world.done("POST", f"approvals/{approval['id']}/decision", {"decision": "approve"})
    approved = await waited_for(world, by_session["approving"])
    await world.done("PUT", "agents/flaky", {"model": "x"})
    [letter] = (await world.done("GET", "dead-letters"))["items"]
    await world.done("POST", f"dead-letters/{letter['id']}/redrive")
    redriven = await waited_for(world, by_session["failing"])
    await world.done("POST", "sessions/paused/resume")
    await world.done("POST", "agents/composed/rollback", {"revision": 1})
    held, _ = await world.call("DELETE", "users/ada")
    await world.done("DELETE", "holds/user:ada")
    erased = await world.done("DELETE", "users/ada")
    await world.timers()
    await world.aclose()

    assert len(history) == 6
    assert (blocked, approved, redriven) == ("succeeded", "succeeded", "succeeded")
    assert (held, erased["sessions"]) == (409, 2)
    assert skipped.total() == before


def test_the_tables_of_a_release_are_deployed(release: Fixture) -> None:
    """One that is given up would leave rows behind that nobody reads."""
    assert {table for table, *_ in release.rows} - set(tables()) == set()


def test_operations_and_events_stay_until_their_removal_was_announced(release: Fixture) -> None:
    """What a release had is there, with every field of events, or docs/upgrade.md says when it was removed."""
    gone = set(release.operations) - set(operations()) - removed("Removed operations")
    events = {
        f"{name}.{field}"
        for name, fields in release.events.items()
        for field in fields
        if name not in CATALOGUE or field not in CATALOGUE[name].data
    }

    assert gone == set()
    assert events - removed("Removed events and fields") == set()
