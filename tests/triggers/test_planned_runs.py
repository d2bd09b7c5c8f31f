"""Callbacks, schedules and batches over HTTP: what is taken, refused and answered."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from kernel.settings import Settings
from lifecycle.runs.run_queries import RunFilter
from tests.lifecycle.doubles import MemoryQueue, spec
from tests.llmops.notifications.support import Receiver
from tests.triggers.conftest import Edge, request
from triggers.http import batches, callbacks, runs, schedules

_EVERY = RunFilter()
SCHEDULE = {"agent": "bot", "run": {"query": "Report."}, "cron": "0 0 9 * * *", "time_zone": "Europe/Berlin"}


def body(response: func.HttpResponse) -> Any:
    return json.loads(response.get_body())


@pytest.fixture
async def edge() -> Edge:
    settings = Settings.of({"WEBHOOKS_ALLOW_PRIVATE": "true", "REPLY_QUEUES": "agent-replies"})
    edge = Edge(runs, callbacks, schedules, batches, settings=settings, queue=MemoryQueue())
    await edge.services.agents.administration.declare("default", "bot", spec(), edge.signals)
    return edge


async def submit(edge: Edge, **fields: Any) -> func.HttpResponse:
    return await edge("runs_submit", request({"query": "Hi"} | fields, route={"name": "bot"}))


async def run_queued(edge: Edge) -> None:
    queue: MemoryQueue = edge.api._queue  # pyright: ignore[reportAssignmentType]
    while queue.sent:
        await edge.services.runs.worker.process(queue.sent.pop(0), edge.signals)


async def test_a_callback_is_shown_and_sent_again(edge: Edge) -> None:
    """Without its address, which may be a secret: only the host is shown."""
    async with Receiver() as receiver:
        run = body(await submit(edge, callback={"url": f"{receiver.url}?token=SECRET"}))
        before = await edge("runs_callback", request(method="GET", route={"run_id": run["id"]}))
        await run_queued(edge)
        await edge.services.conversations.callbacks.aclose()
        shown = await edge("runs_callback", request(method="GET", route={"run_id": run["id"]}))
        listed = await edge("callbacks_list", request(method="GET", params={"state": "delivered"}))
        again = await edge("runs_callback_redeliver", request(route={"run_id": run["id"]}))
        await edge.services.conversations.callbacks.deliver()

    assert (before.status_code, body(before)["code"]) == (404, "callback_not_found")
    assert (body(shown)["state"], body(shown)["target"], body(shown)["run_id"]) == ("delivered", "127.0.0.1", run["id"])
    assert body(listed)["items"] == [body(shown)]
    assert (again.status_code, len(receiver.received)) == (202, 2)
    assert "SECRET" not in json.dumps([run, body(shown), body(listed)])


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        ({}, "invalid_callback"),
        ({"url": "https://a.example", "queue": "agent-replies"}, "invalid_callback"),
        ({"url": "mailto:x@a.example"}, "invalid_webhook_url"),
        ({"queue": "agent-runs"}, "reply_queue_not_allowed"),
        ({"url": "https://a.example", "secret_setting": "AzureWebJobsStorage"}, "callback_secret_unknown"),
        ({"uri": "https://a.example"}, "invalid_input"),
        ("https://a.example", "invalid_input"),
    ],
)
async def test_a_bad_callback_submits_nothing(edge: Edge, callback: Any, code: str) -> None:
    refused = await submit(edge, callback=callback)

    assert (refused.status_code, body(refused)["code"]) == (400, code)
    assert (await edge.services.runs.list.page("default", _EVERY, 10, None))[0] == []


async def test_a_schedule_is_set_shown_and_removed(edge: Edge) -> None:
    """Its next times are those of its zone; its callback's address is not shown."""
    set_to = SCHEDULE | {"run": {"query": "Report.", "callback": {"queue": "agent-replies"}}}
    made = await edge("schedules_item", request(set_to, method="PUT", route={"name": "daily"}))
    listed = await edge("schedules_list", request(method="GET"))
    stale = await edge(
        "schedules_item", request(SCHEDULE, method="PUT", route={"name": "daily"}, headers={"If-Match": '"9"'})
    )
    gone = await edge("schedules_item", request(method="DELETE", route={"name": "daily"}))
    missing = await edge("schedules_item", request(method="GET", route={"name": "daily"}))

    found = body(made)
    assert (made.status_code, made.headers["Location"], made.headers["ETag"]) == (201, "/api/schedules/daily", '"1"')
    assert len(found["next_at"]) == 5
    assert (found["has_callback"], found["run"]["callback"], found["missed"], found["last"]) == (
        True,
        None,
        "latest",
        None,
    )
    assert [item["name"] for item in body(listed)["items"]] == ["daily"]
    assert (stale.status_code, gone.status_code, missing.status_code) == (412, 204, 404)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"cron": "tomorrow"}, "invalid_cron"),
        ({"cron": "* * * * * *"}, "too_frequent"),
        ({"time_zone": "Nowhere/City"}, "invalid_time_zone"),
        ({"missed": "perhaps"}, "invalid_input"),
        ({"agent": "No Name"}, "invalid_agent_name"),
        ({"agent": "nobody"}, "unknown_agent"),
        ({"run": {"query": " "}}, "empty_query"),
        ({"run": {"query": "x", "callback": {"queue": "nobody"}}}, "reply_queue_not_allowed"),
        ({"every": "day"}, "invalid_input"),
    ],
)
async def test_a_bad_schedule_changes_nothing(edge: Edge, wrong: Any, code: str) -> None:
    refused = await edge("schedules_item", request(SCHEDULE | wrong, method="PUT", route={"name": "daily"}))

    assert (refused.status_code, body(refused)["code"]) == (400, code)
    assert await edge.services.planned.schedules.list("default") == []


@pytest.mark.parametrize(
    ("run", "pointer"),
    [
        ({"query": " "}, "/run/query"),
        ({"query": "x", "callback": {"queue": "nobody"}}, "/run/callback/queue"),
        ({"query": "x", "client_tools": {"tools": [{"name": "a b"}]}}, "/run/client_tools/tools/0/name"),
    ],
)
async def test_what_is_wrong_with_a_schedules_run_is_named_by_its_place(edge: Edge, run: Any, pointer: str) -> None:
    refused = await edge("schedules_item", request(SCHEDULE | {"run": run}, method="PUT", route={"name": "daily"}))

    assert [each["pointer"] for each in body(refused)["errors"]] == [pointer]


async def posted(edge: Edge, content: bytes, kind: str = "application/jsonl", **params: str) -> func.HttpResponse:
    return await edge(
        "batches", request(content, headers={"Content-Type": kind, "Idempotency-Key": "k"}, params=params)
    )


async def test_a_batch_is_posted_run_and_read(edge: Edge) -> None:
    """Its results are JSON lines, in the order of its own; a page leads to the next."""
    lines = b'{"query": "one"}\n\n{"query": "two", "id": "second"}\n{"query": "three"}\n'
    made = body(await posted(edge, lines, agent="bot", max_cost_usd="1.5"))
    again = body(await posted(edge, lines, agent="bot", max_cost_usd="1.5"))
    queue: Any = edge.api._queue
    before = await edge("batches_results", request(method="GET", route={"id": made["id"]}))
    await edge.services.planned.batches.run(edge.signals, queue.send)
    await run_queued(edge)
    first = await edge("batches_results", request(method="GET", route={"id": made["id"]}, params={"limit": "2"}))
    shown = body(await edge("batches_get", request(method="GET", route={"id": made["id"]})))
    cancelled = await edge("batches_cancel", request(route={"id": made["id"]}))

    results = [json.loads(line) for line in first.get_body().decode().splitlines()]
    assert (made["total"], made["max_cost_micro_usd"], again) == (3, 1_500_000, made)
    assert {json.loads(line)["state"] for line in before.get_body().splitlines()} == {"not_submitted"}
    assert [(each["id"], each["state"]) for each in results] == [("1", "succeeded"), ("second", "succeeded")]
    assert 'rel="next"' in first.headers["Link"]
    assert first.mimetype == "application/jsonl"
    assert (shown["submitted"], shown["underway"], shown["succeeded"], cancelled.status_code) == (3, 0, 3, 202)


@pytest.mark.parametrize(
    ("content", "kind", "params", "status", "code"),
    [
        (b'{"query": "a"}', "application/json", {"agent": "bot"}, 415, "unsupported_media_type"),
        (b"", "application/jsonl", {"agent": "bot"}, 400, "invalid_batch"),
        (b"nonsense", "application/jsonl", {"agent": "bot"}, 400, "invalid_batch"),
        (b'{"query": "a"}', "application/jsonl", {}, 400, "invalid_batch"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "No Name"}, 400, "invalid_agent_name"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "bot", "max_cost_usd": "-1"}, 400, "invalid_max_cost"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "bot", "max_cost_usd": "NaN"}, 400, "invalid_max_cost"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "bot", "max_cost_usd": "1e9"}, 400, "invalid_max_cost"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "bot", "max_cost_usd": ""}, 400, "invalid_max_cost"),
        (b'{"query": "a"}\n' * 10_001, "application/jsonl", {"agent": "bot"}, 413, "batch_too_large"),
        (b'{"query": "a"}', "application/jsonl", {"agent": "bot", "cost": "1"}, 400, "unknown_parameter"),
    ],
)
async def test_a_bad_batch_changes_nothing(
    edge: Edge, content: bytes, kind: str, params: dict[str, str], status: int, code: str
) -> None:
    refused = await posted(edge, content, kind, **params)

    assert (refused.status_code, body(refused)["code"]) == (status, code)
    assert (await edge.services.planned.batch_store.list("default", 10))[0] == []


@pytest.mark.parametrize("parameter", ["max_cost_usd=", "max_cost_usd"])
async def test_an_empty_cap_is_none_that_a_host_may_leave_out(edge: Edge, parameter: str) -> None:
    """Hosts that leave out empty parameters still pass on the address that was called."""
    lines = request(
        b'{"query": "a"}',
        headers={"Content-Type": "application/jsonl"},
        params={"agent": "bot"},
        url=f"https://host.example/api/batches?agent=bot&{parameter}",
    )
    refused = await edge("batches", lines)

    assert (refused.status_code, body(refused)["code"]) == (400, "invalid_max_cost")
    assert (await edge.services.planned.batch_store.list("default", 10))[0] == []


async def test_what_is_not_there_is_not_found(edge: Edge) -> None:
    """Another workspace's batch, too: it is looked for in the caller's own."""
    ident = "01900000-0000-7000-8000-000000000001"
    found = [
        await edge("batches_get", request(method="GET", route={"id": ident})),
        await edge("batches_results", request(method="GET", route={"id": ident})),
        await edge("batches_cancel", request(route={"id": ident})),
        await edge("runs_callback_redeliver", request(route={"run_id": ident})),
    ]
    wrong = await edge("batches_get", request(method="GET", route={"id": "x"}))
    state = await edge("callbacks_list", request(method="GET", params={"state": "lost"}))

    assert [each.status_code for each in found] == [404] * 4
    assert (wrong.status_code, body(wrong)["code"]) == (400, "invalid_batch_id")
    assert (state.status_code, body(state)["code"]) == (400, "invalid_state")
