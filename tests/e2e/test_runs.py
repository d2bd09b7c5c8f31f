"""Retry, cancel, replay and order of runs, through the API."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.e2e.support import PROMPT, Api, Stack, plan_fault


async def test_the_same_key_is_the_same_run(api: Api) -> None:
    """A repeated POST with the same Idempotency-Key returns the run that is there; another body is 409."""
    await api.declare("a")
    key = {"Idempotency_Key": "order 7"}

    first = await api.submit("a", headers=key)
    again = await api.call("POST", "agents/a/runs", {"query": PROMPT}, **key)
    ended = await api.ended(first["id"])
    late = await api.call("POST", "agents/a/runs", {"query": PROMPT}, **key)
    other = await api.call("POST", "agents/a/runs", {"query": "another"}, **key)
    elsewhere = await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"}, **key)
    sessions = await api.everything("sessions", 10)
    session = await api.get(f"sessions/{first['session_id']}")

    assert again.json()["id"] == late.json()["id"] == first["id"]
    assert (late.status, late.json()) == (200, ended)
    assert [(reply.status, reply.code) for reply in (other, elsewhere)] == [(409, "idempotency_conflict")] * 2
    assert [item["id"] for item in sessions] == [first["session_id"]]
    assert (session["runs"], session["turns"]) == (1, 2)


async def test_many_submitting_the_same_at_once_get_one_run(api: Api) -> None:
    """Of twenty equal requests at once, one makes the run, and it is answered once."""
    await api.declare("a")
    key = {"Idempotency_Key": str(uuid.uuid4())}

    replies = await asyncio.gather(*(api.call("POST", "agents/a/runs", {"query": PROMPT}, **key) for _ in range(20)))
    run = await api.ended(key["Idempotency_Key"])
    session = await api.get(f"sessions/{run['session_id']}")
    listed = await api.everything("sessions", 100)

    assert {reply.status for reply in replies} <= {200, 202}  # the last may come when the first is answered
    assert {reply.json()["id"] for reply in replies} == {run["id"]}
    assert (run["state"], run["spend"]["calls"]) == ("succeeded", 1)
    assert (session["runs"], session["turns"], session["pending"]) == (1, 2, 0)
    assert [each["id"] for each in listed] == [run["session_id"]]


async def test_runs_of_a_session_are_answered_in_order(api: Api) -> None:
    """Runs sent one after the other without waiting are answered in that order, each seeing those before."""
    await api.declare("a", simulate={"latency_ms": 20})
    runs = [await api.submit("a", f"{PROMPT} {n}", session_id="s") for n in range(8)]

    ended = [await api.ended(run["id"]) for run in runs]
    turns = await api.everything("sessions/s/messages", 100)

    assert [turn["run_id"] for turn in turns] == [run["id"] for run in runs for _ in range(2)]
    assert [turn["text"] for turn in turns[::2]] == [f"{PROMPT} {n}" for n in range(8)]
    for n, run in enumerate(ended):
        assert f"turn {n + 1}" in run["answer"]


async def test_runs_of_a_new_session_sent_at_once_share_it(api: Api) -> None:
    """Several first runs at once make one session, listed once."""
    await api.declare("a")

    runs = await asyncio.gather(*(api.submit("a", f"{PROMPT} {n}", session_id="s") for n in range(10)))
    for run in runs:
        assert (await api.ended(run["id"]))["state"] == "succeeded"
    session = await api.get("sessions/s")

    assert (session["runs"], session["pending"], session["turns"]) == (10, 0, 20)
    assert [item["id"] for item in await api.everything("sessions", 100)] == ["s"]


async def test_a_retriable_failure_is_retried_until_it_succeeds(api: Api) -> None:
    """Two attempts fail, the third answers; the attempts are counted and the session is not charged for more."""
    await api.declare("a", tools=["current_time"], simulate={"fail_first": 2, "fail_with": "unavailable"})

    run = await api.answer("a")
    session = await api.get(f"sessions/{run['session_id']}")

    assert (run["attempt"], run["error"]) == (3, None)
    assert run["spend"] == session["spend"]
    assert session["turns"] == 2


async def test_what_wasted_attempts_spent_is_shown_apart(api: Api, stack: Stack) -> None:
    """An attempt that fails after its first model call has spent that; `wasted` says so, and all sums agree."""
    await api.declare("a", provider="openai", model="gpt-4o-mini", tools=["current_time"])
    # The first call asks for the tool and is paid; the second, with the tool's result, is refused.
    # The client repeats a refused call once by itself.
    for fault in ("none", "unavailable", "unavailable"):
        await plan_fault(stack, fault)

    run = await api.answer("a", "/tool current_time {}", session_id="s")
    costs = await api.get("costs")

    assert (run["attempt"], run["spend"]["calls"], run["wasted"]["calls"]) == (2, 3, 1)
    assert run["spend"]["cost_micro_usd"] > run["wasted"]["cost_micro_usd"] > 0
    assert costs["total"] == run["spend"] == (await api.get("sessions/s"))["spend"]


@pytest.mark.parametrize("how", ["rejected", "content_filter"])
async def test_a_final_failure_fails_at_once(api: Api, how: str) -> None:
    """What a retry cannot help is not retried."""
    await api.declare("a", simulate={"fail_first": 1, "fail_with": how})

    run = await api.ask("a")
    session = await api.get(f"sessions/{run['session_id']}")

    assert (run["state"], run["attempt"], run["answer"]) == ("failed", 1, None)
    assert run["error"]["code"] == {"rejected": "provider_rejected", "content_filter": "content_filter"}[how]
    assert PROMPT not in run["error"]["detail"]
    assert (session["pending"], session["turns"]) == (0, 0)


async def test_a_queued_run_is_cancelled_at_once(api: Api) -> None:
    """A run that waits behind another is cancelled by the call itself, and never asks the model."""
    await api.declare("a", simulate={"latency_ms": 1500})
    first = await api.submit("a", session_id="s")
    await api.run_in(first["id"], "running")
    second = await api.submit("a", session_id="s")

    cancelled = await api.call("POST", f"runs/{second['id']}/cancel")
    ended = await api.ended(first["id"])
    third = await api.answer("a", session_id="s")
    session = await api.get("sessions/s")

    assert (cancelled.status, cancelled.json()["state"]) == (200, "cancelled")
    assert (ended["state"], third["state"]) == ("succeeded", "succeeded")
    assert (await api.get(f"runs/{second['id']}"))["spend"]["calls"] == 0
    assert (session["turns"], session["pending"], session["runs"]) == (4, 0, 3)


async def test_a_running_run_is_cancelled_soon(api: Api) -> None:
    """The model call is given up; the run ends as cancelled, and its session goes on."""
    await api.declare("a", simulate={"latency_ms": 20_000})
    run = await api.submit("a", session_id="s")
    await api.run_in(run["id"], "running")

    accepted = await api.call("POST", f"runs/{run['id']}/cancel")
    ended = await api.ended(run["id"])
    again = await api.call("POST", f"runs/{run['id']}/cancel")
    await api.declare("a")

    assert (accepted.status, accepted.json()["cancel_requested"]) == (202, True)
    assert (ended["state"], ended["answer"], ended["cancel_requested"]) == ("cancelled", None, True)
    assert (again.status, again.json()) == (200, ended)
    assert (await api.answer("a", session_id="s"))["answer"].endswith("turn 1.")


async def test_cancelling_what_has_ended_changes_nothing(api: Api) -> None:
    """A finished run stays as it is."""
    await api.declare("a")
    run = await api.answer("a")

    reply = await api.call("POST", f"runs/{run['id']}/cancel")

    assert (reply.status, reply.json()) == (200, run)


async def test_a_session_ends_on_request(api: Api) -> None:
    """Not while a run of it is unfinished; ended, it takes no more runs, and ending it again changes nothing."""
    await api.declare("a", simulate={"latency_ms": 1000})
    run = await api.submit("a", session_id="s")

    busy = await api.call("POST", "sessions/s/end")
    await api.ended(run["id"])
    ended = await api.call("POST", "sessions/s/end")
    again = await api.call("POST", "sessions/s/end")
    refused = await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"})

    assert (busy.status, busy.code) == (409, "session_busy")
    assert (ended.status, ended.json()["end_reason"]) == (200, "ended_by_request")
    assert again.json() == ended.json()
    assert (refused.status, refused.code) == (409, "session_ended")


async def test_a_session_keeps_its_agent_and_its_user(api: Api) -> None:
    """Another agent is refused; another user is told that there is no such session."""
    await api.declare("a")
    await api.declare("b")
    created = await api.call("POST", "sessions", {"agent": "a", "user_id": "ada@example.com", "session_id": "s"})
    again = await api.call("POST", "sessions", {"agent": "a", "user_id": "ada@example.com", "session_id": "s"})

    wrong = [
        await api.call("POST", "agents/b/runs", {"query": PROMPT, "session_id": "s", "user_id": "ada@example.com"}),
        await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s", "user_id": "bob"}),
        await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"}),
        await api.call("POST", "sessions", {"agent": "b", "user_id": "ada@example.com", "session_id": "s"}),
    ]
    run = await api.answer("a", session_id="s", user_id="ada@example.com")

    assert created.status == 201
    assert again.json() == created.json()
    assert [reply.code for reply in wrong] == [
        "session_agent_mismatch",
        "session_not_found",
        "session_not_found",
        "session_agent_mismatch",
    ]
    assert run["user_id"] == "ada@example.com"
    assert [item["id"] for item in await api.everything("sessions", 10)] == ["s"]


async def test_metadata_and_unusual_text_come_back_as_given(api: Api) -> None:
    """Any text a query may hold is kept to the letter: control characters, emoji, 64 KiB of it."""
    await api.declare("a", simulate={"reply": "ok"})
    texts = ["\u0000\u0001 nul", "𝔘𝔫𝔦 🙂 \u202e rtl", "x" * 65_536, "é" * 32_768, "\r\n\t '\" <&> {}"]

    for number, text in enumerate(texts):
        run = await api.answer("a", text, session_id=f"s{number}", metadata={"key ü": "v\n"})
        messages = await api.get(f"sessions/s{number}/messages")

        assert (run["query"], messages["items"][0]["text"]) == (text, text)
        assert run["metadata"] == {"key ü": "v\n"}
