"""The client: one method for each thing that most callers do, and `call` for everything else.

The models are imported with the first answer that is read as one: making them takes longer than most requests do, and
who reads JSON needs none.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import httpx

from agent_lifecycle_client.events import Event, parse

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent_lifecycle_client.models import AgentView, BatchResultLine, BatchView, RunView, ScheduleView

T = TypeVar("T", bound="BaseModel")

_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_OVER = frozenset({"completed", "cancelled", "stopped"})
_PASSING = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_S = 20
_LONGEST_PAUSE_S = 30.0


class ApiError(Exception):
    """The app refused a request.

    Attributes:
        status: HTTP status.
        code: Stable error code.
        detail: A sentence for people.
        errors: The invalid fields, and why.
    """

    def __init__(self, status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []


class RunNotAnswered(Exception):
    """A run ended without an answer, or waits for a person or budget; see `run`."""

    def __init__(self, run: RunView) -> None:
        why = f": {run.error.code}" if run.error else ""
        super().__init__(f"run {run.id} is {run.state}{why}")
        self.run = run


class AnswerChanged(Exception):
    """A streamed run was attempted again, and its answer is other than the text already yielded; see `run`."""

    def __init__(self, run: RunView) -> None:
        super().__init__(f"run {run.id} was attempted again, and its answer is other than the text already yielded")
        self.run = run


class Client:
    """Calls the API for one workspace.

    A request with a transient failure (429, 502, 503, 504, no connection) is retried after a growing pause, or the
    pause the app asks for. Requests that create something carry an Idempotency-Key, so that a retry does not create it
    twice.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        token: str | None = None,
        workspace: str | None = None,
        attempts: int = 4,
        pause_s: float = 0.5,
        timeout_s: float = 60,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Set the app's address and how to call it.

        Args:
            url: The app's address without `/api`, for example `https://NAME.azurewebsites.net`.
            key: A function key; None where none is needed.
            token: A bearer token, where callers sign in with Entra ID.
            workspace: Sent as X-Workspace, for a gateway that is trusted with it.
            attempts: How often a request is sent in all.
            pause_s: Pause before the second attempt, in seconds; it doubles from one to the next.
            timeout_s: How long to wait for an answer, in seconds.
            transport: Another way to send requests.
        """
        headers = {"x-functions-key": key} if key else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if workspace:
            headers["X-Workspace"] = workspace
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/", headers=headers, timeout=timeout_s, transport=transport
        )
        self._attempts = attempts
        self._pause_s = pause_s

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def declare(self, name: str, spec: Mapping[str, Any]) -> AgentView:
        """Declare an agent: create it, or change its spec."""
        from agent_lifecycle_client.models import AgentView

        return AgentView.model_validate(await self.json("PUT", f"agents/{_part(name)}", spec))

    async def submit(self, agent: str, query: str, *, key: str | None = None, **request: Any) -> RunView:
        """Submit a run and return it without waiting for its answer.

        Args:
            agent: The agent.
            query: The query.
            key: Idempotency key: the same key returns the same run. A new one by default.
            request: Other fields of a run request, such as `session_id` or `callback`.
        """
        return await self._submit(agent, {"query": query, **request}, key, 0)

    async def ask(
        self, agent: str, query: str, *, key: str | None = None, timeout_s: float = 300, **request: Any
    ) -> RunView:
        """Submit a run and return it once it is answered; the arguments are those of `submit`.

        Raises:
            RunNotAnswered: It failed, was cancelled, waits for a person or budget, or took longer than `timeout_s`
                seconds.
        """
        deadline = _now() + timeout_s
        run = await self._submit(agent, {"query": query, **request}, key, int(min(_LONGEST_WAIT_S, timeout_s)))
        run = await self.wait(run, timeout_s=deadline - _now())
        if run.state != "succeeded":
            raise RunNotAnswered(run)
        return run

    async def wait(self, run: RunView | str, *, timeout_s: float = 300) -> RunView:
        """Return the run once it has ended or waits for a person or budget, or as it is after `timeout_s` seconds."""
        ident = run if isinstance(run, str) else run.id
        found = await self.run(ident) if isinstance(run, str) else run
        deadline = asyncio.get_running_loop().time() + timeout_s
        pause = 0.2
        while found.state not in _ENDED and found.state != "waiting" and (left := deadline - _now()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, 5)
            found = await self.run(ident)
        return found

    async def run(self, run_id: str) -> RunView:
        """Return the run in its current state."""
        from agent_lifecycle_client.models import RunView

        return RunView.model_validate(await self.json("GET", f"runs/{_part(run_id)}"))

    async def stream(self, agent: str, query: str, **request: Any) -> AsyncIterator[str]:
        """Submit a run and yield its answer's text while the model writes it; what was yielded begins the answer.

        Raises:
            RunNotAnswered: It ended without an answer; text that was yielded before is void.
            AnswerChanged: It was attempted again and has another answer; text that was yielded before is void.
        """
        run = await self.submit(agent, query, stream=True, **request)
        shown, text, ended = "", "", False
        async for event in self.events(run.session_id):
            if event.data.get("run_id") != run.id:
                continue
            if event.name == "run.delta" and (offset := int(event.data["offset"])) <= len(text):
                text = text[:offset] + str(event.data["text"])  # from 0 where another attempt starts over
                if text.startswith(shown) and text != shown:
                    yield text[len(shown) :]
                    shown = text
            ended = event.name == "run.stage" and event.data.get("stage") in ("COMPLETED", "FAILED")
            if ended or event.name == "run.waiting":
                break
        run = await self.wait(run.id)
        if run.state != "succeeded":
            raise RunNotAnswered(run)
        answer = run.answer or ""
        if not answer.startswith(shown):
            raise AnswerChanged(run)
        if answer != shown:
            yield answer[len(shown) :]

    async def events(self, session_id: str | None = None, *, last_event_id: str = "") -> AsyncIterator[Event]:
        """Yield the events of a session, or of the workspace, until the caller stops."""
        path = "events" if session_id is None else f"sessions/{_part(session_id)}/events"
        while True:
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            answer = await self.call("GET", path, headers=headers)
            for event in parse(answer.text):
                last_event_id = event.id or last_event_id
                if event.name:
                    yield event

    async def pages(self, path: str, kind: type[T], **query: Any) -> AsyncIterator[T]:
        """Yield every item of a list, page by page, as models of the given type."""
        async for item in self.items(path, **query):
            yield kind.model_validate(item)

    async def items(self, path: str, **query: Any) -> AsyncIterator[Any]:
        """Yield every item of a list, page by page, as JSON."""
        following: str | None = None
        while True:
            page = await self.json("GET", path, params=query | ({"next": following} if following else {}))
            for item in page["items"]:
                yield item
            if (following := page["next"]) is None:
                return

    async def schedule(self, name: str, wanted: Mapping[str, Any]) -> ScheduleView:
        """Set a schedule."""
        from agent_lifecycle_client.models import ScheduleView

        return ScheduleView.model_validate(await self.json("PUT", f"schedules/{_part(name)}", wanted))

    async def batch(
        self, lines: Iterable[Mapping[str, Any]], *, key: str | None = None, **parameters: Any
    ) -> BatchView:
        """Submit a batch of runs; `parameters` are `agent` and `max_cost_usd`."""
        from agent_lifecycle_client.models import BatchView

        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        headers = {"Content-Type": "application/jsonl", "Idempotency-Key": key or str(uuid.uuid4())}
        answer = await self.call("POST", "batches", content=content, headers=headers, params=parameters, again=True)
        return BatchView.model_validate_json(answer.content)

    async def batch_ended(self, batch_id: str, *, timeout_s: float = 3600) -> BatchView:
        """Return the batch once it has ended, or as it is after `timeout_s` seconds."""
        from agent_lifecycle_client.models import BatchView

        deadline = _now() + timeout_s
        pause = 0.5
        while True:
            batch = BatchView.model_validate(await self.json("GET", f"batches/{_part(batch_id)}"))
            if batch.state in _OVER or (left := deadline - _now()) <= 0:
                return batch
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, 15)

    async def batch_results(self, batch_id: str) -> AsyncIterator[BatchResultLine]:
        """Yield the results of a batch's lines, in the order submitted."""
        from agent_lifecycle_client.models import BatchResultLine

        path: str | None = f"batches/{_part(batch_id)}/results"
        while path:
            answer = await self.call("GET", path)
            for line in answer.content.splitlines():  # of bytes: text may hold line separators of Unicode
                yield BatchResultLine.model_validate_json(line)
            following = answer.links.get("next", {}).get("url")
            path = following.removeprefix("/api/") if following else None

    async def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the response's JSON; None without content."""
        content = None if body is None else json.dumps(body).encode()
        sent = {} if body is None else {"Content-Type": "application/json"}
        answer = await self.call(method, path, content=content, headers=sent | dict(headers or {}), params=params)
        return answer.json() if answer.content else None

    async def call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        again: bool | None = None,
    ) -> httpx.Response:
        """Send a request and return the response.

        Args:
            method: HTTP method.
            path: Path below `/api/`.
            content: The body.
            headers: Headers in addition to the client's own.
            params: Query parameters.
            again: Whether it may be sent again when it failed in passing; None for every method but POST, unless it has
                `If-Match`: a repetition would be refused for what the request itself has changed.

        Raises:
            ApiError: The app refused it.
            httpx.TransportError: The app could not be reached.
        """
        repeat = method != "POST" and "If-Match" not in (headers or {}) if again is None else again
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts or not repeat
            try:
                answer = await self._http.request(
                    method, path, content=content, headers=dict(headers or {}), params=dict(params or {}) or None
                )
            except httpx.TransportError:
                if last:
                    raise
                await asyncio.sleep(self._pause(attempt, None))
                continue
            if answer.is_success:
                return answer
            if last or answer.status_code not in _PASSING:
                raise _error(answer)
            await asyncio.sleep(self._pause(attempt, answer.headers.get("retry-after")))
        raise AssertionError  # the last attempt returns or raises

    async def _submit(self, agent: str, request: Mapping[str, Any], key: str | None, wait_s: int) -> RunView:
        from agent_lifecycle_client.models import RunView

        headers = {"Content-Type": "application/json", "Idempotency-Key": key or str(uuid.uuid4())}
        if wait_s:
            headers["Prefer"] = f"wait={wait_s}"
        content = json.dumps(request).encode()
        answer = await self.call("POST", f"agents/{_part(agent)}/runs", content=content, headers=headers, again=True)
        return RunView.model_validate_json(answer.content)

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        if retry_after is not None and retry_after.isdigit():
            return min(float(retry_after), _LONGEST_PAUSE_S)
        return min(self._pause_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S) * random.uniform(0.5, 1)  # noqa: S311 - spreads


def _error(answer: httpx.Response) -> ApiError:
    try:
        problem = answer.json()
        return ApiError(answer.status_code, problem["code"], problem["detail"], problem.get("errors"))
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, "unknown", answer.reason_phrase)


def _part(text: str) -> str:
    return quote(text, safe="")


def _now() -> float:
    return asyncio.get_running_loop().time()
