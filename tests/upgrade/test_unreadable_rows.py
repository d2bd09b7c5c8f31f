"""Rows that cannot be read, because a later release wrote them or they are damaged, take down no list, sum or timer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from kernel.codec import skipped
from kernel.tables import Span, every
from tests.upgrade.fixture import DATA, load
from tests.upgrade.world import READ
from triggers.timers import TIMERS, Round

LATER = '{"v":999999,"value":{}}'
DAMAGED = '{"v":1,"value":{"tokens":20.5}}'
RELEASE = load(max(DATA.glob("*.json")))
ALONE = frozenset({"overrides", "approval-policy", "retention"})
"""Paths of one thing, that is there or not."""
LISTS = (
    *(path for path in READ if "/" not in path and path not in ALONE),
    "sessions?agent=composed", "sessions?state=active", "runs?agent=composed", "runs?user=ada",
    "sessions/chat/messages", "sessions/chat/export", "agents/clerk/versions", "agents/clerk/audit",
    "templates/mine/versions", "alerts/fired", "channels/ops/deliveries", "workflows/mine/runs", "retention/receipts",
    "performance/clerk", "evaluations/clerk/versions", "costs?group_by=session", "reports?period=week", "batches",
    "routes", "loader", "resources", "inbox", "status", "analytics", "metrics",
)  # fmt: skip
"""What is made of many rows."""
KEPT = ("sessions_s", "transcripts_s", "runs_s", "tool_calls_s", "evaluations_s", "facts_s")
KEPT_DAYS = 30
_NAMED = re.compile(r"clerk|composed|chat|mine|ops")
_IDENTS = re.compile(r"[0-9a-f]{4,}|\d+")


def kinds() -> Mapping[tuple[object, ...], list[int]]:
    """Return the rows that hold a value with a version, by what they are; the last of each to be made unreadable."""
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for at, (table, _, key, values) in enumerate(RELEASE.rows):
        if versioned := tuple(versioned_of(values)):
            prefix = key.partition("!")[0] if "!" in key and table not in ("agents", "alerts") else ""
            found[table, versioned, _IDENTS.sub("#", prefix)].append(at)
    return found


def versioned_of(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the values that say the version of their form."""
    return (name for name, value in values.items() if isinstance(value, str) and value.startswith('{"v":'))


def chosen(of_kind: list[int]) -> int:
    """Return a row of the kind; one that no path is about by name, where there is such a one."""
    others = [at for at in of_kind if not _NAMED.search(f"{RELEASE.rows[at][1]} {RELEASE.rows[at][2]}")]
    return (others or of_kind)[-1]


async def test_a_row_of_each_kind_takes_down_no_list_sum_or_timer(caplog: pytest.LogCaptureFixture) -> None:
    """It is passed over, logged by its key and counted; what is beside it is told, and every timer does its round."""
    rows = list(RELEASE.rows)
    for number, of_kind in enumerate(kinds().values()):
        at = chosen(of_kind)
        table, partition, key, values = rows[at]
        wrong = dict.fromkeys(versioned_of(values), DAMAGED if number % 2 else LATER)
        rows[at] = (table, partition, key, {**values, **wrong})
    world = await replace(RELEASE, rows=rows).world()
    before = skipped.total()
    answers = {path: await world.call("GET", path) for path in LISTS}
    counted = skipped.total() - before
    await world.done("DELETE", "holds/user:ada")
    await world.done("PUT", "retention", dict.fromkeys(KEPT, KEPT_DAYS * 86_400))
    failed = {}
    for days in (0, 2, KEPT_DAYS, 400):  # what is due then is due now
        world.clock.move(days=days)
        for timer in TIMERS:
            try:
                await timer.run(Round(world.services, world.queue, world.signals))
            except Exception as error:  # noqa: BLE001 - which of them it is, is the point
                failed[timer.name, days] = repr(error)
    await world.aclose()

    assert len(kinds()) > 40
    assert {path: answer for path, (status, answer) in answers.items() if status != 200} == {}
    assert failed == {}
    assert counted > 20
    events = {getattr(record, "event", "") for record in caplog.records}
    assert events >= {"storage.unreadable_row", "retention.postponed"}
    assert "retention.unfinished" not in events
    for path, then in RELEASE.answers.items():
        if path in answers and isinstance(then, dict) and "items" in then:
            assert len(answers[path][1]["items"]) >= len(then["items"]) - 1, path


USERS = sorted({row[3]["user_id"] for row in RELEASE.rows if row[0] == "sessions" and row[3].get("user_id")})


def of_user(user: str) -> list[str]:
    return [row[3]["session_id"] for row in RELEASE.rows if row[0] == "sessions" and row[3].get("user_id") == user]


def broken(rows: list[Any], sessions: list[str], prefix: str, text: str) -> list[Any]:
    """Return the rows with those of the sessions that have the prefix, unreadable."""
    return [
        (table, partition, key, {**values, **dict.fromkeys(versioned_of(values), text)})
        if table == "conversations" and partition.partition("!")[2] in sessions and key.startswith(prefix)
        else (table, partition, key, values)
        for table, partition, key, values in rows
    ]


@pytest.mark.parametrize(("prefix", "text"), [("session", LATER), ("run!", DAMAGED), ("", "no JSON")])
async def test_a_session_that_cannot_be_read_can_be_erased(prefix: str, text: str) -> None:
    """By its own id, and with its user; nothing of what was said stays, and its id is not used again."""
    user = next(each for each in USERS if len(of_user(each)) > 0)
    session = of_user(user)[0]
    unheld = [row for row in RELEASE.rows if not row[2].startswith("hold!")]
    world = await replace(RELEASE, rows=broken(unheld, of_user(user), prefix, text)).world()
    first = await world.call("DELETE", f"sessions/{session}")
    again = await world.call("DELETE", f"sessions/{session}")
    whole = await world.call("DELETE", f"users/{user}")
    for timer in TIMERS:
        await timer.run(Round(world.services, world.queue, world.signals))
    asked = await world.call("POST", "agents/composed/runs", {"query": "Hi", "session_id": session})
    left = [
        (table, row.key)
        for table in ("conversations", "runs", "sessions", "opensessions")
        async for row in every(world.tables, table, Span("", partition_before="~"))
        if re.search(rf"\b{user}\b", str(row.values))
        or (row.partition.endswith(f"!{session}") and row.key != "session")
    ]
    await world.aclose()

    assert (first[0], again) == (200, first), first
    assert first[1]["unreadable"] == (prefix != "run!")
    assert first[1]["runs"] > 0
    assert whole[0] == 200, whole
    assert whole[1]["completed_at"]
    assert (asked[0], asked[1]["code"]) == (409, "session_erased")
    assert left == []


async def test_a_session_that_nothing_says_whose_it_is_is_not_erased() -> None:
    """A legal hold might keep it; the answer has a code of its own."""
    session = of_user(USERS[0])[0]
    rows = [row for row in RELEASE.rows if row[0] != "sessions"]
    world = await replace(RELEASE, rows=broken(rows, [session], "session", LATER)).world()
    status, answer = await world.call("DELETE", f"sessions/{session}")
    await world.aclose()

    assert (status, answer["code"]) == (500, "unreadable_value")
