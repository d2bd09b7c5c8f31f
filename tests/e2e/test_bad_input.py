"""Whatever a caller sends: the answer is a problem with a stable code, leaks nothing, and nothing is changed."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.support import OPENAI_KEY, PROMPT, Api, Stack, plan_fault

UNKNOWN = "00000000-0000-7000-8000-000000000000"


def cursor(value: Any) -> str:
    """Return a list position as the API would write it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


BODIES: dict[str, bytes] = {
    "malformed": b'{"model": ',
    "empty": b"",
    "not UTF-8": b"\xff\xfe{}",
    "too deep": b"[" * 100_000,
    "half a surrogate pair": b'{"model": "x", "query": "\\ud800", "agent": "\\udfff"}',
    "NaN": b'{"model": NaN, "query": NaN, "agent": NaN}',
}
OF_ITS_OWN = {"an unknown tool": "unknown_tool", "an unknown provider": "unknown_provider"}
WRONG_SPECS: dict[str, Any] = {
    "a list": [],
    "null": None,
    "no model": {},
    "a model of another type": {"model": 7},
    "a model with blanks": {"model": "a b"},
    "an unknown field": {"model": "x", "instruction": "typo"},
    "an unknown provider": {"model": "x", "provider": "acme"},
    "an unknown tool": {"model": "x", "tools": ["rm"]},
    "a tool twice": {"model": "x", "tools": ["calculator", "calculator"]},
    "a temperature out of range": {"model": "x", "temperature": 2.1},
    "too long instructions": {"model": "x", "instructions": "x" * 100_001},
    "simulation elsewhere": {"model": "x", "provider": "openai", "simulate": {}},
    "too many labels": {"model": "x", "labels": {str(n): "" for n in range(17)}},
    "a fraction of a second": {"model": "x", "idle_after_s": 0.5},
    "an idle time of nothing": {"model": "x", "idle_after_s": 0},
}
WRONG_RUNS: dict[str, tuple[Any, str]] = {
    "a list": ([], "invalid_input"),
    "no query": ({}, "invalid_input"),
    "a query of another type": ({"query": 7}, "invalid_input"),
    "an empty query": ({"query": ""}, "empty_query"),
    "a blank query": ({"query": " \t\n\u2003"}, "empty_query"),
    "an unknown field": ({"query": "x", "workspace": "other"}, "invalid_input"),
    "a bad session": ({"query": "x", "session_id": "a!b"}, "invalid_session_id"),
    "an empty session": ({"query": "x", "session_id": ""}, "invalid_session_id"),
    "a bad user": ({"query": "x", "user_id": " a"}, "invalid_user_id"),
    "too many topics": ({"query": "x", "expected_topics": ["t"] * 33}, "invalid_input"),
    "a long value": ({"query": "x", "metadata": {"k": "v" * 513}}, "invalid_input"),
    "a number as value": ({"query": "x", "metadata": {"k": 1}}, "invalid_input"),
}
WRONG_SESSIONS: dict[str, tuple[Any, str]] = {
    "no agent": ({}, "invalid_input"),
    "a bad agent": ({"agent": "A"}, "invalid_agent_name"),
    "a bad id": ({"agent": "a", "session_id": "~a"}, "invalid_session_id"),
    "a bad user": ({"agent": "a", "user_id": "a" * 129}, "invalid_user_id"),
    "an unknown field": ({"agent": "a", "state": "ended"}, "invalid_input"),
}
BAD_NAMES = ["A", "-a", "a-", "a" * 64, "a.b", "a%20b", "a%00", "a%2Fb", "..%2F..%2Fx", "ä", "'%20or%201%20eq%201"]
WRONG_REQUESTS: list[tuple[str, str, str]] = [
    *[("GET", f"agents?limit={text}", "invalid_limit") for text in ("0", "201", "-1", "x", "1.5", "9" * 30, "%C2%B2")],
    *[
        ("GET", f"{path}?next={text}", "invalid_next")
        for path, texts in {
            "agents": ["x", "%FF", cursor(7), cursor(True), cursor(None), cursor("A B"), cursor("\0"), "W1tb" * 900],
            "stats": [cursor(""), cursor("../x"), cursor(["a"])],
            "sessions": ["x", cursor(7), cursor("x"), cursor("zz!\0")],
            "reports": ["x", cursor(7), cursor("yesterday"), cursor("a\0b")],
            "dead-letters": ["x", cursor("a"), cursor(-1), cursor(10**30), cursor(True), cursor(1.5)],
            "sessions/s/messages": ["x", cursor("a"), cursor(-1), cursor(10**30)],
        }.items()
        for text in texts
    ],
    ("GET", "sessions?agent=A", "invalid_agent_name"),
    ("GET", "sessions?user_id=a%21b", "invalid_user_id"),
    ("GET", "sessions/a%21b", "invalid_session_id"),
    ("GET", "sessions/a%21b/messages", "invalid_session_id"),
    ("GET", "sessions/a%21b/events", "invalid_session_id"),
    ("POST", "sessions/a%21b/end", "invalid_session_id"),
    ("GET", "runs/7", "invalid_run_id"),
    ("POST", "runs/%27/cancel", "invalid_run_id"),
    ("GET", "costs?from=2026-13-01", "invalid_day"),
    ("GET", "costs?to=tomorrow", "invalid_day"),
    ("GET", "costs?from=2026-11-02&to=2026-11-01", "invalid_range"),
    ("GET", "runs?from=2026-11-02&to=2026-11-01", "invalid_range"),
    ("GET", "runs?session=s&from=2026-11-02&to=2026-11-01", "invalid_range"),
    ("GET", "costs?from=2020-01-01&to=2026-01-01", "invalid_range"),
    ("GET", "costs?from=1971-01-01&to=2999-12-31", "invalid_range"),
    ("GET", "costs?from=0001-01-01", "invalid_day"),
    ("GET", "costs?to=9999-12-31", "invalid_day"),
    ("GET", "analytics?from=0001-01-01&to=0001-01-01", "invalid_day"),
    ("GET", "performance?to=0001-01-01", "invalid_day"),
    ("GET", "reports/9999-12-31", "invalid_period"),
    ("GET", "reports/9999-12", "invalid_period"),
    ("GET", "reports/0001-01-01", "invalid_period"),
    ("GET", "reports/0001-01", "invalid_period"),
    ("GET", "reports/0001-W01", "invalid_period"),
    ("GET", f"reports?next={cursor('0001-01-01')}", "invalid_next"),
    ("GET", "agents?limmit=5", "unknown_parameter"),
    ("GET", "runs/x?agent=a", "unknown_parameter"),
    ("GET", "costs?group_by=password", "invalid_group_by"),
    ("GET", "reports/2026-1-1", "invalid_period"),
    ("GET", "reports/20261121", "invalid_period"),
    ("GET", "costs?from=2026-W01-1", "invalid_day"),
    ("POST", "prune?dry_run=yes", "invalid_flag"),
    ("POST", "prune?dry_run=0", "invalid_flag"),
    ("POST", "dead-letters/x/redrive", "invalid_dead_letter_id"),
    ("POST", "dead-letters/-1/redrive", "invalid_dead_letter_id"),
    ("POST", f"dead-letters/{'9' * 19}/redrive", "invalid_dead_letter_id"),
    ("POST", "dead-letters/%C2%B2/redrive", "invalid_dead_letter_id"),
]
MISSING: list[tuple[str, str, str]] = [
    ("GET", "agents/nobody", "agent_not_found"),
    ("DELETE", "agents/nobody", "agent_not_found"),
    ("GET", "agents/nobody/stats", "agent_not_found"),
    ("GET", "agents/nobody/versions", "agent_not_found"),
    *[
        ("POST", f"agents/nobody/{verb}", "agent_not_found")
        for verb in ("prewarm", "retire", "restore", "verify", "disable", "enable")
    ],
    ("GET", f"runs/{UNKNOWN}", "run_not_found"),
    ("POST", f"runs/{UNKNOWN}/cancel", "run_not_found"),
    ("GET", "sessions/nothing", "session_not_found"),
    ("GET", "sessions/nothing/messages", "session_not_found"),
    ("GET", "sessions/nothing/events", "session_not_found"),
    ("POST", "sessions/nothing/end", "session_not_found"),
    ("POST", "dead-letters/0/redrive", "dead_letter_not_found"),
    ("POST", f"dead-letters/{'9' * 18}/redrive", "dead_letter_not_found"),
    ("GET", "reports/1999-01-01", "report_not_found"),
]


@pytest.fixture
async def unchanged(api: Api) -> AsyncIterator[Api]:
    """Yield the API of a workspace with an agent and a conversation, and check in the end that nothing came to it."""
    await api.declare("a")
    await api.answer("a", session_id="s")
    before = await _everything(api)
    yield api
    assert await _everything(api) == before


async def _everything(api: Api) -> Any:
    lists = [await api.everything(path, 200) for path in ("agents", "sessions", "sessions/s/messages", "dead-letters")]
    agents: list[dict[str, Any]] = lists[0]
    return [[{**agent, "uses": 0, "last_used": None} for agent in agents], *lists[1:], await api.get("costs")]


async def test_a_body_that_is_no_json_is_refused(unchanged: Api) -> None:
    """Every endpoint that takes a body says `malformed_json`."""
    for name, body in BODIES.items():
        for method, path in (("PUT", "agents/b"), ("POST", "agents/a/runs"), ("POST", "sessions")):
            reply = await unchanged.call(method, path, body)

            assert (reply.status, reply.code) == (400, "malformed_json"), (name, path)


async def test_a_wrong_spec_is_refused(unchanged: Api) -> None:
    """A spec that breaks a rule is refused, for a new agent and for one that is there, saying where it is wrong."""
    for name, spec in WRONG_SPECS.items():
        for agent in ("a", "b"):
            reply = await unchanged.call("PUT", f"agents/{agent}", json.dumps(spec).encode())

            assert (reply.status, reply.code) == (400, OF_ITS_OWN.get(name, "invalid_input")), name
            assert all(set(error) == {"pointer", "detail"} for error in reply.json()["errors"]), name


async def test_a_wrong_run_is_refused(unchanged: Api) -> None:
    """A run request that breaks a rule is refused before anything is stored."""
    for name, (body, code) in WRONG_RUNS.items():
        reply = await unchanged.call("POST", "agents/a/runs", body, Prefer="wait=5")

        assert (reply.status, reply.code) == (400, code), name


async def test_an_oversized_query_is_refused(unchanged: Api) -> None:
    """What is over the limit, in bytes of UTF-8, is 413."""
    for query in ("x" * 65_537, "é" * 32_769):
        reply = await unchanged.call("POST", "agents/a/runs", {"query": query})

        assert (reply.status, reply.code) == (413, "query_too_large"), query[0]
        assert len(reply.body) < 1000


async def test_a_wrong_session_is_refused(unchanged: Api) -> None:
    """A session that breaks a rule is refused."""
    for name, (body, code) in WRONG_SESSIONS.items():
        reply = await unchanged.call("POST", "sessions", body)

        assert (reply.status, reply.code) == (400, code), name


async def test_a_wrong_header_is_refused(unchanged: Api) -> None:
    """Headers are checked as bodies are."""
    for header, value, code in (
        ("Prefer", "wait=soon", "invalid_prefer"),
        ("Prefer", "wait=-1", "invalid_prefer"),
        ("Prefer", "wait", "invalid_prefer"),
        ("Idempotency-Key", "x" * 256, "invalid_idempotency_key"),
        ("Idempotency-Key", "ä", "invalid_idempotency_key"),
    ):
        reply = await unchanged.call("POST", "agents/a/runs", {"query": PROMPT}, **{header: value})

        assert (reply.status, reply.code) == (400, code), value


async def test_preferences_that_are_not_ours_are_ignored(api: Api) -> None:
    """RFC 7240: an unknown preference changes nothing, whatever its name contains."""
    await api.declare("a")

    reply = await api.call("POST", "agents/a/runs", {"query": PROMPT}, Prefer='x-await=1, handling="wait"')

    assert (reply.status, "preference-applied" in reply.headers) == (202, False)
    await api.ended(reply.json()["id"])


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "%00", "9" * 11, "²"])
async def test_a_wrong_event_id_is_refused(api: Api, text: str) -> None:
    """Last-Event-ID is a number that the stream gave."""
    await api.declare("a")
    await api.call("POST", "sessions", {"agent": "a", "session_id": "s"})

    reply = await api.call("GET", "sessions/s/events", Last_Event_ID=text)

    assert (reply.status, reply.code) == (400, "invalid_last_event_id")


async def test_a_bad_agent_name_is_refused(unchanged: Api) -> None:
    """Names that could mean anything to storage, URLs or filters reach none of them."""
    for name in BAD_NAMES:
        replies = [
            await unchanged.call("PUT", f"agents/{name}", {"model": "x"}),
            await unchanged.call("GET", f"agents/{name}"),
            await unchanged.call("DELETE", f"agents/{name}"),
            await unchanged.call("GET", f"agents/{name}/stats"),
            await unchanged.call("POST", f"agents/{name}/runs", {"query": PROMPT}),
            await unchanged.call("POST", f"agents/{name}/retire"),
        ]

        assert {(reply.status, reply.code) for reply in replies} == {(400, "invalid_agent_name")}, name


async def test_a_wrong_parameter_is_refused(unchanged: Api) -> None:
    """Parameters and ids that are malformed are 400, with the code that says which."""
    for method, path, code in WRONG_REQUESTS:
        reply = await unchanged.call(method, path)

        assert (reply.status, reply.code) == (400, code), (method, path)


async def test_what_is_not_there_is_404(api: Api) -> None:
    """Ids that are well-formed and unknown are 404, with the code that says what is missing."""
    for method, path, code in MISSING:
        reply = await api.call(method, path)

        assert (reply.status, reply.code, reply.json()["status"]) == (404, code, 404), (method, path)


async def test_a_run_or_session_with_an_unknown_agent_is_404(api: Api) -> None:
    """Nothing is stored for an agent that is not there."""
    replies = [
        await api.call("POST", "agents/nobody/runs", {"query": PROMPT, "session_id": "s"}),
        await api.call("POST", "sessions", {"agent": "nobody", "session_id": "s"}),
    ]

    assert [(reply.status, reply.code) for reply in replies] == [(404, "agent_not_found")] * 2
    assert await api.everything("sessions", 10) == []


@pytest.mark.parametrize("path", ["nothing", "", "agents/a/nothing"])
async def test_an_unknown_route_is_404(api: Api, path: str) -> None:
    """The host answers these."""
    assert (await api.call("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "agents", "GET"),
        ("PATCH", "agents/a", "DELETE, GET, PUT"),
        ("GET", "prune", "POST"),
        ("PUT", "health", "GET"),
        ("PUT", "sessions", "GET, POST"),
        ("PUT", "alerts/fired", "GET"),
    ],
)
async def test_an_undeclared_method_is_405(api: Api, method: str, path: str, allow: str) -> None:
    """With the methods that the path has."""
    reply = await api.call(method, path, {} if method != "GET" else None)

    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", allow)


@pytest.mark.parametrize("sent", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_body_that_a_web_page_can_send_unasked_declares_nothing(api: Api, sent: str) -> None:
    """415, whatever is in it."""
    reply = await api.call("PUT", "agents/a", {"model": "m"}, Content_Type=sent)

    assert (reply.status, reply.code) == (415, "unsupported_media_type")
    assert (await api.call("GET", "agents/a")).status == 404


async def test_a_bad_workspace_is_refused(api: Api) -> None:
    """The trusted header is checked as everything else."""
    for name in ("A", "a b", "", "../default", "a!b", "x" * 64):
        reply = await api.call("GET", "agents", X_Workspace=name)

        assert (reply.status, reply.code) == (400, "invalid_workspace"), name


async def test_failures_leave_no_secret_in_answers_and_log(api: Api, stack: Stack) -> None:
    """The provider quotes key and prompt in its refusals; neither reaches a caller, an event or the log."""
    secret = f"{PROMPT}-{uuid.uuid4().hex}"
    await api.declare("bad", provider="openai", model="gpt-4o-mini", instructions=secret)
    await api.declare("refused", simulate={"fail_first": 1, "fail_with": "rejected"}, instructions=secret)
    for fault in ("auth", "invalid", "content_filter"):
        await plan_fault(stack, fault)
        run = await api.ask("bad", secret)
        events = (await api.call("GET", f"sessions/{run['session_id']}/events")).body.decode()

        assert run["state"] == "failed", fault
        assert secret not in json.dumps(run["error"]) + events
        assert OPENAI_KEY not in json.dumps(run) + events
    await api.ask("refused", secret)
    await api.call("POST", "agents/refused/runs", {"query": secret, "metadata": {secret: 7}})
    log = stack.log()

    for leak in (secret, OPENAI_KEY, "AccountKey", "SharedAccessKey", stack.azurite.connection_string):
        assert leak not in log
