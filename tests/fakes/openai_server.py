"""An OpenAI-compatible Chat Completions server on 127.0.0.1 that answers by rule and fails on demand.

In a test:

    async with FakeOpenAI() as fake:
        fake.fail_next("throttled", retry_after_s=7)
        ...  # call fake.base_url
        assert fake.requests[0].body["model"] == "gpt-4o-mini"

As a process of its own: `python -m tests.fakes.openai_server --port 0 --ready-file F` writes its base URL to F once it
listens; `POST /fake/fail {"fault": "throttled", "times": 1, "retry_after_s": 7}` and `GET /fake/requests` then do what
`fail_next` and `requests` do; `POST /fake/answer {"shape": "usage:null", "times": 1}` is `answer_next`.

The answer reflects what was received: `heard 3 messages (system, user, user), the last: 'Hi'`. A user message
`/tool NAME {"argument": "value"}` makes the model call that tool first and then tell its result; several, each in a
line of its own, are called at once. Tool calls without results right after them are refused, as OpenAI refuses them.
Tokens: one for every 4 bytes of the contents, rounded up; half of the input counts as cached, and `REASONING` tokens of
reasoning are part of the output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from aiohttp import web

from tests.fakes.openai_shapes import ABSENT, KEEP, SHAPES, Shape

REASONING = 2
CREATED = 1_767_225_600
PIECE = 16

Fault = Literal[
    "throttled", "quota", "server_error", "unavailable", "auth", "forbidden", "not_found", "invalid", "unprocessable",
    "content_filter",  # these: refused with the status below
    "answer_filtered",  # 200 with finish_reason content_filter
    "malformed",  # 200, JSON that breaks off
    "html",  # 200, a page
    "error_as_200",  # 200 with an error for a body
    "hang",  # never answers
    "reset",  # the connection breaks: before the answer, or in the middle of a stream
    "truncated",  # the stream ends early and says nothing
    "stream_error",  # an error event in the middle of a stream
    "none",  # answered as ever, so that a later request fails
]  # fmt: skip
_STATUS: dict[str, tuple[int, str]] = {
    "throttled": (429, "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota"),
    "server_error": (500, "server_error"),
    "unavailable": (503, "service_unavailable"),
    "auth": (401, "invalid_api_key"),
    "forbidden": (403, "permission_denied"),
    "not_found": (404, "model_not_found"),
    "invalid": (400, "context_length_exceeded"),
    "unprocessable": (422, "unprocessable_entity"),
    "content_filter": (400, "content_filter"),
}


@dataclass(frozen=True)
class Received:
    """One request: path with query, headers by lower-case name, JSON, and the client's port (one per connection)."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    peer_port: int


@dataclass
class _Completion:
    model: str
    text: str | None
    calls: list[dict[str, Any]]
    finish_reason: str
    usage: dict[str, Any]
    number: int


@dataclass
class FakeOpenAI:
    """The server; an async context manager.

    Attributes:
        port: Port to listen on; 0 for any free one.
        api_key: The key every request must carry; None to accept any.
        latency_s: Seconds each answer takes.
        served_model: Model that answers say they are from; None for the one asked for.
        always: What every request fails with that `fail_next` says nothing of; None for nothing.
        headers: Sent with every answer and refusal, like `x-ratelimit-remaining-tokens`.
        requests: Model calls that arrived, oldest first.
        questions: Questions about models that arrived, oldest first.
    """

    port: int = 0
    api_key: str | None = None
    latency_s: float = 0.0
    served_model: str | None = None
    always: Fault | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    requests: list[Received] = field(default_factory=list)
    questions: list[Received] = field(default_factory=list)
    _planned: deque[tuple[Fault, float | None]] = field(default_factory=deque, init=False)
    _shapes: deque[Shape] = field(default_factory=deque, init=False)
    _runner: web.AppRunner | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """The server without a path; what Azure calls the endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    def fail_next(self, fault: Fault, *, times: int = 1, retry_after_s: float | None = None) -> None:
        """Make the next requests fail, after those already told to; `Retry-After` goes with any refusal."""
        if fault not in get_args(Fault):
            raise ValueError(fault)
        self._planned.extend((fault, retry_after_s) for _ in range(times))

    def answer_next(self, shape: str, *, times: int = 1) -> None:
        """Send the next answers in a shape of `openai_shapes`, after those already told to."""
        self._shapes.extend([SHAPES[shape]] * times)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for prefix in ("/v1", "/openai/v1", "/openai/deployments/{deployment}"):
            app.router.add_post(f"{prefix}/chat/completions", self._complete)
        for prefix in ("/v1", "/openai/v1", "/openai"):
            app.router.add_get(f"{prefix}/models/{{model}}", self._model)
        app.router.add_post("/fake/fail", self._plan)
        app.router.add_post("/fake/answer", self._shape)
        app.router.add_get("/fake/requests", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _plan(self, request: web.Request) -> web.Response:
        self.fail_next(**await request.json())
        return web.Response(status=204)

    async def _shape(self, request: web.Request) -> web.Response:
        self.answer_next(**await request.json())
        return web.Response(status=204)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(each) for each in self.requests])

    async def _model(self, request: web.Request) -> web.Response:
        self.questions.append(_received(request, {}))
        fault, _ = self._planned.popleft() if self._planned else (self.always, None)
        if fault in _STATUS:
            return web.json_response({"error": {"message": "refused", "code": fault}}, status=_STATUS[fault][0])
        return web.json_response({"id": request.match_info["model"], "object": "model", "created": 0, "owned_by": "x"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        received = _received(request, body)
        headers = received.headers
        self.requests.append(received)
        await asyncio.sleep(self.latency_s)
        key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("api-key", "")
        if self.api_key is not None and key != self.api_key:
            return _refuse("auth", None, body, key)
        fault, retry_after_s = self._planned.popleft() if self._planned else (self.always, None)
        if fault in _STATUS:
            refusal = _refuse(fault, retry_after_s, body, key)
            refusal.headers.update(self.headers)
            return refusal
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "html":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        if fault == "error_as_200":
            return web.json_response({"error": {"message": f"no upstream for key {key}", "code": 502}})
        if not _paired(body["messages"]):
            return _refuse("unprocessable", None, body, key)
        completion = _answer(body, self.served_model, len(self.requests))
        if fault == "answer_filtered":
            completion.finish_reason = "content_filter"
        shape = self._shapes.popleft() if self._shapes and fault is None else Shape()
        if body.get("stream") and shape.streams:
            return await _stream(request, completion, fault, body.get("stream_options") or {}, shape, self.headers)
        if fault == "malformed":
            return web.Response(text='{"id": "chatcmpl-1", "choices": [', content_type="application/json")
        if fault == "reset" and request.transport:
            request.transport.abort()
        return await _send_whole(request, completion, shape, self.headers)


def _received(request: web.Request, body: dict[str, Any]) -> Received:
    headers = {name.lower(): value for name, value in request.headers.items()}
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return Received(request.path_qs, headers, body, peer[1] if peer else 0)


async def _send_whole(
    request: web.Request, completion: _Completion, shape: Shape, more: dict[str, str]
) -> web.StreamResponse:
    answer = {"error": shape.error} if shape.error else _whole(completion, shape)
    data = json.dumps(answer, ensure_ascii=shape.charset == "utf-8").encode(shape.charset)
    kind = shape.content_type or "application/json"
    named = f"{kind}; charset={shape.charset}" if shape.charset == "utf-16" else kind
    headers = {"Content-Type": named, "Content-Length": str(len(data)), **more}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(data[:-1] if shape.cut else data)
    if shape.cut and request.transport:
        request.transport.abort()
    return response


def _refuse(fault: Fault, retry_after_s: float | None, body: dict[str, Any], key: str) -> web.Response:
    status, code = _STATUS[fault]
    said = f"Refused: key {key!r}, prompt {body['messages'][-1].get('content')!r}"  # what must never be passed on
    error: dict[str, Any] = {"message": said, "type": "invalid_request_error", "code": code, "param": None}
    if status == 400:
        error["param"] = "messages[0].content"
    if fault == "content_filter":
        error["innererror"] = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    return web.json_response({"error": error}, status=status, headers=headers)


def _paired(messages: list[dict[str, Any]]) -> bool:
    """Return whether every tool call is followed by its result, and every result follows its call."""
    wanted: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in wanted:
                return False
            wanted.discard(message["tool_call_id"])
        elif wanted:
            return False
        else:
            wanted = {call["id"] for call in message.get("tool_calls") or ()}
    return not wanted


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    calls = "".join(json.dumps(call["function"]) for call in message.get("tool_calls") or ())
    return (content or "") + calls


def _tokens(*texts: str) -> int:
    return -(-sum(len(text.encode()) for text in texts) // 4)


def _answer(body: dict[str, Any], served_model: str | None, number: int) -> _Completion:
    messages = body["messages"]
    roles = [message["role"] for message in messages]
    last = _text(messages[-1])
    text: str | None = f"heard {len(messages)} messages ({', '.join(roles)}), the last: '{last}'"
    calls, finish_reason = list[dict[str, Any]](), "stop"
    if roles[-1] == "user" and last.startswith("/tool ") and body.get("tool_choice") != "none":
        for at, line in enumerate(last.splitlines()):
            name, _, arguments = line.removeprefix("/tool ").partition(" ")
            function = {"name": name, "arguments": arguments or "{}"}
            ident = f"call_{number}" if at == 0 else f"call_{number}_{at}"
            calls.append({"id": ident, "type": "function", "function": function})
        text, finish_reason = None, "tool_calls"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if text is not None and limit is not None and _tokens(text) + REASONING > limit:
        text, finish_reason = text.encode()[: max(0, limit - REASONING) * 4].decode(errors="ignore"), "length"
    spent = _tokens(*(_text(message) for message in messages))
    made = _tokens(text or "".join(map(json.dumps, calls))) + REASONING
    usage = {
        "prompt_tokens": spent,
        "completion_tokens": made,
        "total_tokens": spent + made,
        "prompt_tokens_details": {"cached_tokens": spent // 2},
        "completion_tokens_details": {"reasoning_tokens": REASONING},
    }
    return _Completion(served_model or body["model"], text, calls, finish_reason, usage, number)


def _envelope(completion: _Completion, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{completion.number}", "object": kind, "created": CREATED, "model": completion.model}


def _whole(completion: _Completion, shape: Shape) -> dict[str, Any]:
    text = completion.text if shape.content is KEEP else shape.content
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if completion.calls:
        message["tool_calls"] = completion.calls
    choice = {"index": 0, "message": message, "finish_reason": _finish(completion, shape)}
    envelope = {**_envelope(completion, "chat.completion"), **shape.envelope}
    answer = {**envelope, "choices": [choice], **_usage(completion, shape)}
    return answer if shape.choices is KEEP else {**answer, "choices": shape.choices}


def _finish(completion: _Completion, shape: Shape) -> Any:
    return completion.finish_reason if shape.finish_reason is KEEP else shape.finish_reason


def _usage(completion: _Completion, shape: Shape) -> dict[str, Any]:
    """Return the usage under its name; nothing where it is absent."""
    if shape.usage is ABSENT:
        return {}
    return {"usage": completion.usage if shape.usage is KEEP else shape.usage}


def _deltas(completion: _Completion) -> list[dict[str, Any]]:
    text = completion.text or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[at : at + PIECE]} for at in range(0, len(text), PIECE)]
    for index, call in enumerate(completion.calls):
        name, arguments = call["function"].values()
        half = len(arguments) // 2  # as real endpoints do: the name first, the arguments in pieces
        opening = {**call, "index": index, "function": {"name": name, "arguments": arguments[:half]}}
        deltas += [
            {"tool_calls": [each]} for each in (opening, {"index": index, "function": {"arguments": arguments[half:]}})
        ]
    return deltas


async def _stream(
    request: web.Request,
    completion: _Completion,
    fault: Fault | None,
    options: dict[str, Any],
    shape: Shape,
    more: dict[str, str],
) -> web.StreamResponse:
    kind = shape.content_type or "text/event-stream"
    response = web.StreamResponse(headers={"Content-Type": kind, **more})
    await response.prepare(request)
    envelope = {**_envelope(completion, "chat.completion.chunk"), **shape.envelope}
    usage = _usage(completion, shape) if options.get("include_usage") else {}

    async def send(data: dict[str, Any] | str) -> None:
        await response.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())

    async def send_choice(delta: dict[str, Any], finish_reason: Any) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        await send({**envelope, "choices": [choice], **(usage if shape.usage_on == "each" else {})})

    if shape.error:
        await send({"error": shape.error})
        return response
    deltas = _deltas(completion) if shape.content is KEEP else [{"role": "assistant", "content": shape.content}]
    for at, delta in enumerate(deltas):
        await send_choice(delta, None)
        if at < len(deltas) // 2:
            continue
        if (fault == "reset" or shape.cut) and request.transport:
            request.transport.abort()
        if fault in ("reset", "truncated") or shape.cut:
            return response
        if fault == "malformed":
            await send('{"id": "chatcmpl-1", "choices": [')
        if fault == "stream_error":
            await send({"error": {"message": "the engine broke", "code": "server_error"}})
    if shape.finishes:
        await send_choice({}, _finish(completion, shape))
    if usage and shape.usage_on == "end":
        await send({**envelope, "choices": [], **usage})
    for chunk in shape.last:
        await send({**envelope, **chunk})
    if shape.done:
        await send("[DONE]")
    return response


async def _serve(port: int, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeOpenAI(port=port) as fake:
        print(fake.base_url, flush=True)
        if ready_file is not None:
            ready_file.write_text(fake.base_url, encoding="utf-8")  # noqa: ASYNC240 - nothing is served yet
        await stop.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A fake OpenAI-compatible server on 127.0.0.1.")
    arguments.add_argument("--port", type=int, default=0, help="0 for any free port")
    arguments.add_argument("--ready-file", type=Path, help="where to write the base URL once it listens")
    given = arguments.parse_args()
    asyncio.run(_serve(given.port, given.ready_file))
