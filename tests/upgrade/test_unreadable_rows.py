"""Rows that cannot be read, because a later release wrote them or they are damaged, take down no list, sum or timer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from kernel.codec import skipped
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
    failed = {}
    for timer in TIMERS:
        try:
            await timer.run(Round(world.services, world.queue, world.signals))
        except Exception as error:  # noqa: BLE001 - which of them it is, is the point
            failed[timer.name] = repr(error)
    await world.aclose()

    assert len(kinds()) > 40
    assert {path: answer for path, (status, answer) in answers.items() if status != 200} == {}
    assert failed == {}
    assert counted > 20
    assert {getattr(record, "event", "") for record in caplog.records} >= {"storage.unreadable_row"}
    for path, then in RELEASE.answers.items():
        if path in answers and isinstance(then, dict) and "items" in then:
            assert len(answers[path][1]["items"]) >= len(then["items"]) - 1, path
