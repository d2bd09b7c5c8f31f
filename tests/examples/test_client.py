"""The Python client: generated from the API as it is, and steady against a server that is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent_lifecycle_client import AnswerChanged, ApiError, Client, RunNotAnswered
from agent_lifecycle_client.events import Event, parse
from agent_lifecycle_client.models import RunView

from devhost.services import node
from scripts.client import MODELS, document, models

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/python"
RUN = {
    "id": "r",
    "agent": "a",
    "session_id": "s",
    "user_id": None,
    "query": "Hi",
    "state": "succeeded",
    "stage": "COMPLETED",
    "attempt": 1,
    "redriven": 0,
    "cancel_requested": False,
    "answer": "Hello",
    "finish_reason": "stop",
    "score": None,
    "model": "m",
    "version": "1",
    "error": None,
    "spend": {},
    "wasted": {},
    "metadata": {},
    "stream": False,
    "priority": "normal",
    "workflow_run_id": None,
    "tool_calls": [],
    "team": None,
    "created_at": "2026-11-30T12:00:00Z",
    "started_at": None,
    "finished_at": None,
    "a_field_of_tomorrow": 1,
}
_SPEND = (
    "calls", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "cost_micro_usd", "unpriced_calls", "unsettled_calls", "unmetered_calls",
)  # fmt: skip


def run(**more: Any) -> dict[str, Any]:
    spend = dict.fromkeys(_SPEND, 0)
    return RUN | {"spend": spend, "wasted": spend} | more


class Server(httpx.AsyncBaseTransport):
    """Answers as it is told to, one answer a request, and keeps what it was asked; None is no answer at all."""

    def __init__(self, *answers: httpx.Response | None) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            raise httpx.ConnectError("refused", request=request)
        return answer


def client(server: Server, **more: Any) -> Client:
    return Client("https://app.example/", key="k", workspace="w", pause_s=0.001, transport=server, **more)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "It is."}, headers=headers)


async def test_what_passes_is_asked_again_as_the_same_run() -> None:
    """No connection, 503, 429: the same Idempotency-Key each time, so that the run is one."""
    server = Server(None, problem(503, "queue_unavailable"), problem(429, "busy", **{"retry-after": "0"}), _ok(run()))
    async with client(server) as asking:
        found = await asking.submit("a b", "Hi", user_id="u")

    assert (found.answer, len(server.asked)) == ("Hello", 4)
    assert len({request.headers["idempotency-key"] for request in server.asked}) == 1
    assert server.asked[0].url == "https://app.example/api/agents/a%20b/runs"
    assert json.loads(server.asked[0].content) == {"query": "Hi", "user_id": "u"}
    assert (server.asked[0].headers["x-functions-key"], server.asked[0].headers["x-workspace"]) == ("k", "w")


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([problem(404, "agent_not_found")], "agent_not_found"),
        ([problem(400, "invalid_input")], "invalid_input"),
        ([problem(500, "internal_error")], "internal_error"),
        ([problem(503, "unavailable") for _ in range(4)], "unavailable"),
        ([httpx.Response(502, text="<html>")] * 4, "unknown"),
    ],
)
async def test_what_stays_is_an_error_with_its_code(answers: list[httpx.Response], error: str) -> None:
    """What will not pass is asked once; what does not pass, four times."""
    server = Server(*answers)
    async with client(server) as asking:
        with pytest.raises(ApiError) as raised:
            await asking.submit("a", "Hi")

    assert (raised.value.code, server.answers) == (error, [])


async def test_a_post_that_creates_nothing_once_is_not_repeated() -> None:
    """Without an Idempotency-Key it might be done twice."""
    server = Server(problem(503, "unavailable"))
    async with client(server) as asking:
        with pytest.raises(ApiError):
            await asking.call("POST", "prune")

    assert len(server.asked) == 1


async def test_what_is_bound_to_an_entity_tag_is_not_repeated() -> None:
    """A first try that took effect before its answer was lost has changed the tag: the next would be refused for it."""
    server = Server(problem(502, "unknown"))
    async with client(server) as asking:
        with pytest.raises(ApiError):
            await asking.json("PUT", "agents/a", {}, headers={"If-Match": '"1"'})

    assert len(server.asked) == 1


def test_reading_json_takes_no_models() -> None:
    """The command line starts with this: making the models takes longer than most commands do."""
    code = "import sys, agent_lifecycle_client; print([m for m in sys.modules if 'models' in m or m == 'pydantic'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CLIENT)

    assert said.stdout == "['httpx._models']\n"


async def test_a_token_signs_in() -> None:
    server = Server(_ok(run()))
    async with client(server, token="t") as asking:
        await asking.run("r")

    assert server.asked[0].headers["authorization"] == "Bearer t"


async def test_a_server_that_cannot_be_reached_is_told() -> None:
    server = Server(None, None)
    async with client(server, attempts=2) as asking:
        with pytest.raises(httpx.ConnectError):
            await asking.run("r")


async def test_a_list_is_read_to_its_end() -> None:
    server = Server(_ok({"items": [run(id="1"), run(id="2")], "next": "x=="}), _ok({"items": [], "next": None}))
    async with client(server) as asking:
        found = [each.id async for each in asking.pages("runs", RunView, limit=2)]

    assert found == ["1", "2"]
    assert dict(server.asked[1].url.params) == {"limit": "2", "next": "x=="}


async def test_a_stream_is_followed_from_answer_to_answer() -> None:
    """Only the run's own pieces, each once and in order."""
    first = _events(
        ("1", "run.delta", {"run_id": "r", "offset": 0, "text": "Hel"}),
        ("2", "run.delta", {"run_id": "other", "offset": 0, "text": "no"}),
    )
    second = _events(
        ("3", "run.delta", {"run_id": "r", "offset": 3, "text": "lo"}),
        ("4", "run.stage", {"run_id": "r", "stage": "COMPLETED"}),
    )
    server = Server(_ok(run(state="queued")), first, second, _ok(run()))
    async with client(server) as asking:
        pieces = [piece async for piece in asking.stream("a", "Hi")]

    assert pieces == ["Hel", "lo"]
    assert server.asked[2].headers["last-event-id"] == "2"


@pytest.mark.parametrize(("second", "pieces"), [("Hello", ["Hel", "lo"]), ("Good day", ["Hel"])])
async def test_an_attempt_that_starts_over_repeats_nothing(second: str, pieces: list[str]) -> None:
    """The same words go on where they were; others end the stream as an error, which has the run with its answer."""
    events = _events(
        ("1", "run.delta", {"run_id": "r", "attempt": 1, "offset": 0, "text": "Hel"}),
        ("2", "run.stream_ended", {"run_id": "r", "attempt": 1, "outcome": "superseded"}),
        ("3", "run.delta", {"run_id": "r", "attempt": 2, "offset": 0, "text": second[:2]}),
        ("4", "run.delta", {"run_id": "r", "attempt": 2, "offset": 2, "text": second[2:]}),
        ("5", "run.stage", {"run_id": "r", "stage": "COMPLETED"}),
    )
    server = Server(_ok(run(state="queued")), events, _ok(run(answer=second)))
    found: list[str] = []

    async def read(asking: Client) -> None:
        async for piece in asking.stream("a", "Hi"):
            found.append(piece)  # noqa: PERF401 - what came before an error counts

    async with client(server) as asking:
        if second == "Hello":
            await read(asking)
        else:
            with pytest.raises(AnswerChanged) as changed:
                await read(asking)
            assert changed.value.run.answer == second

    assert found == pieces


async def test_what_the_events_did_not_have_comes_from_the_answer() -> None:
    events = _events(
        ("1", "run.delta", {"run_id": "r", "attempt": 1, "offset": 0, "text": "Hel"}),
        ("2", "run.stage", {"run_id": "r", "stage": "COMPLETED"}),
    )
    server = Server(_ok(run(state="queued")), events, _ok(run()))
    async with client(server) as asking:
        assert [piece async for piece in asking.stream("a", "Hi")] == ["Hel", "lo"]


async def test_line_separators_in_an_answer_end_no_line() -> None:
    """JSON allows U+2028, U+2029 and U+0085 as they are in a string; only a line feed ends a result."""
    answer = "one\u2028two\u2029three\u0085four"
    line = {"id": "1", "index": 0, "agent": "a", "run_id": "r", "state": "succeeded", "answer": answer}
    lines = json.dumps(line | {"error": None, "cost_micro_usd": 1}, ensure_ascii=False) + "\n"
    server = Server(httpx.Response(200, text=lines * 2))
    async with client(server) as asking:
        assert [each.answer async for each in asking.batch_results("b")] == [answer] * 2


async def test_the_server_is_not_asked_to_wait_longer_than_the_caller_does() -> None:
    server = Server(_ok(run()), _ok(run()), _ok(run(state="running")))
    async with client(server) as asking:
        await asking.ask("a", "Hi")
        await asking.ask("a", "Hi", timeout_s=3)
        with pytest.raises(RunNotAnswered):
            await asking.ask("a", "Hi", timeout_s=0)

    assert [asked.headers.get("prefer") for asked in server.asked] == ["wait=20", "wait=3", None]


def test_events_are_read_as_the_standard_has_them() -> None:
    """Comments and `retry` are nothing; an id alone moves the reader on."""
    text = "retry: 250\n\n: nothing new\n\nid: 4\nevent: a.b\ndata: {\ndata: }\n\nid: 5\n\n"

    assert list(parse(text)) == [Event("4", "a.b", {}), Event("5", "", {})]


def test_the_models_are_those_of_the_api() -> None:
    """Whoever changes the API regenerates them: `make client`."""
    assert MODELS.read_text(encoding="utf-8") == models(), "run `make client`"


def test_the_document_makes_a_typescript_client(tmp_path: Path) -> None:
    """openapi-typescript says nothing but that it is done."""
    source, made = tmp_path / "openapi.json", tmp_path / "api.ts"
    source.write_text(json.dumps(document()), encoding="utf-8")
    generator = ROOT / "node_modules/openapi-typescript/bin/cli.js"
    if not generator.exists():
        pytest.skip("npm has not installed openapi-typescript")
    done = subprocess.run([node(), generator, source, "-o", made], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "warn" in line.lower()]
    assert "runs_submit:" in made.read_text(encoding="utf-8")


def test_the_document_has_nothing_that_the_csharp_generator_warns_of() -> None:
    """What Kiota validates (its Validation folder says it), as far as it is about documents of version 3."""
    described = document()
    operations = [
        (f"{method} {path}", each)
        for path, methods in described["paths"].items()
        for method, each in methods.items()
        if isinstance(each, dict)
    ]
    schemas = list(_schemas(described))
    names = [each["operationId"] for _, each in operations]

    assert described["servers"][0]["url"].strip("/")
    assert len(names) == len(set(names))
    assert len(described["components"]["schemas"]) == len({each.lower() for each in described["components"]["schemas"]})
    assert not [name for name, each in operations if name.startswith("get ") and "requestBody" in each]
    assert not [name for name, each in operations if each["responses"].get("204", {}).get("content")]
    assert not [name for name, each in operations if len(_answers(each)) > 1]
    assert not [each for each in schemas if each.get("format") and each["format"] not in _FORMATS[each["type"]]]
    assert not [
        name
        for name, each in described["components"]["schemas"].items()
        if {"anyOf", "oneOf"} & set(each) and "discriminator" not in each
    ]
    assert not _named_twice(list(described["paths"]))


_FORMATS: dict[str, set[str]] = {
    "string": {"date", "date-time", "duration", "time", "base64url", "uuid", "binary", "byte"},
    "integer": {"int32", "int64"},
    "number": {"float", "double", "decimal", "int32", "int64"},
}


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield everything of a document that is a schema with a type."""
    if isinstance(node, dict):
        if isinstance(node.get("type"), str) and isinstance(node.get("format", ""), str):
            yield node
        for each in node.values():
            yield from _schemas(each)
    elif isinstance(node, list):
        for each in node:
            yield from _schemas(each)


def _answers(operation: dict[str, Any]) -> set[str]:
    """Return the schemas of an operation's JSON answers that succeed."""
    answers = [each for status, each in operation["responses"].items() if status[0] == "2"]
    found = [each["content"]["application/json"] for each in answers if "application/json" in each.get("content", {})]
    return {json.dumps(each.get("schema"), sort_keys=True) for each in found}


def _named_twice(paths: list[str]) -> list[str]:
    """Return the places in paths whose parameter has several names, which makes two classes of one."""
    found = dict[str, set[str]]()
    for path in paths:
        parts = path.split("/")
        for number, part in enumerate(parts):
            if part.startswith("{"):
                place = "/".join("{}" if each.startswith("{") else each for each in parts[:number])
                found.setdefault(place, set()).add(part)
    return [place for place, names in found.items() if len(names) > 1]


def _ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def _events(*each: tuple[str, str, dict[str, Any]]) -> httpx.Response:
    return httpx.Response(200, text="".join(f"id: {i}\nevent: {n}\ndata: {json.dumps(d)}\n\n" for i, n, d in each))
