"""A Foundry project endpoint on 127.0.0.1 for the real SDKs, which answers by rule and fails on demand.

In a test:

    async with FakeFoundry() as fake:
        fake.fail_next("throttled", on="create_version", retry_after_s=7)
        ...  # use fake.endpoint
        assert fake.counts["create_version"] == 1
        assert fake.project.agents["helper"].versions["1"]["metadata"]["maf-owner"] == "tests"

As a process of its own, from the root of the repository: `python -m tests.fakes.foundry_server --port 0 --ready-file F`
writes its endpoint to F once it listens. Then, beside the project's own routes:

    POST /fake/fail      {"fault", "on"?, "times"?, "retry_after_s"?, "after"?}    as `fail_next`
    POST /fake/edit      {"name", "keep_metadata"?, "changes"?}                    as `project.edit_in_portal`
    POST /fake/delete    {"name", "version"?}                                      somebody deletes it behind our back
    POST /fake/latency   {"seconds"}
    GET  /fake/calls · /fake/counts · /fake/versions · /fake/conversations

What the service does where its documentation is silent is an assumption of this fake: what it answers for an agent that
is disabled, and whether an agent outlives its last version (`project.keeps_empty_agents`).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

from aiohttp import web

from tests.fakes.foundry_evals import FakeEvals
from tests.fakes.foundry_faults import REFUSALS, Fault, Planned, abort, refuse, stream
from tests.fakes.foundry_project import Project, Refused, page
from tests.fakes.openai_shapes import ABSENT

_PREFIX = "/api/projects/fake"
_FAULT: web.RequestKey[Fault] = web.RequestKey("fault", str)  # pyright: ignore[reportAssignmentType]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Call:
    """One request: what it does, its path with query, headers by lower-case name, JSON, and the status it got.

    Attributes:
        peer_port: The client's port, one for each connection.
    """

    operation: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    status: int
    peer_port: int


@dataclass
class FakeFoundry:
    """The server; an async context manager.

    Attributes:
        port: Port to listen on; 0 for any free one.
        latency_s: Seconds each answer takes.
        now: Tells the Unix time.
        calls: What arrived, oldest first.
        counts: How many requests arrived, by operation.
        evals: The evaluations in the project.
    """

    port: int = 0
    latency_s: float = 0.0
    now: Callable[[], float] = time.time
    calls: list[Call] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    evals: FakeEvals = field(default_factory=FakeEvals)
    project: Project = field(init=False)
    _planned: list[Planned] = field(default_factory=list, init=False)
    _usages: deque[Any] = field(default_factory=deque[Any], init=False)
    _runner: web.AppRunner | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.project = Project(self.now)

    @property
    def url(self) -> str:
        """The server without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        """The project's endpoint."""
        return f"{self.url}{_PREFIX}"

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        """Return what the requests of an operation carried."""
        return [call.body for call in self.calls if call.operation == operation]

    def fail_next(
        self,
        fault: Fault,
        *,
        on: str | None = None,
        times: int = 1,
        retry_after_s: float | None = None,
        after: bool = False,
    ) -> None:
        """Make the next requests fail, after those already told to.

        Args:
            fault: How.
            on: Only requests of this operation, e.g. `create_version`; None for any.
            times: How many.
            retry_after_s: Sent with any refusal.
            after: Whether the request takes effect first, so that only its answer is lost.
        """
        if fault not in get_args(Fault):
            raise ValueError(fault)
        self._planned.extend(Planned(fault, on, retry_after_s, after) for _ in range(times))

    def report_next(self, usage: Any) -> None:
        """Have the next response report this usage, after those already told to; ABSENT for none."""
        self._usages.append(usage)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        agents, openai = f"{_PREFIX}/agents", f"{_PREFIX}/openai/v1"
        for method, path, operation, handler in (
            ("GET", agents, "list_agents", self._list_agents),
            ("GET", f"{agents}/{{name}}", "get_agent", self._get_agent),
            ("DELETE", f"{agents}/{{name}}", "delete_agent", self._delete_agent),
            ("POST", f"{agents}/{{name}}/versions", "create_version", self._create_version),
            ("GET", f"{agents}/{{name}}/versions", "list_versions", self._list_versions),
            ("GET", f"{agents}/{{name}}/versions/{{version}}", "get_version", self._get_version),
            ("DELETE", f"{agents}/{{name}}/versions/{{version}}", "delete_version", self._delete_version),
            ("POST", f"{agents}/{{name:[^/:]+}}:enable", "enable", self._switch),
            ("POST", f"{agents}/{{name:[^/:]+}}:disable", "disable", self._switch),
            ("POST", f"{openai}/conversations", "create_conversation", self._create_conversation),
            ("GET", f"{openai}/conversations/{{id}}", "get_conversation", self._get_conversation),
            ("DELETE", f"{openai}/conversations/{{id}}", "delete_conversation", self._delete_conversation),
            ("POST", f"{openai}/responses", "create_response", self._create_response),
            ("GET", f"{openai}/models/{{model}}", "get_model", self._get_model),
            *self.evals.routes(openai),
        ):
            app.router.add_route(method, path, self._served(operation, handler))
        app.router.add_post("/fake/{what}", self._told)
        app.router.add_get("/fake/{what}", self._shown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_model(self, request: web.Request) -> web.Response:
        model = {"id": request.match_info["model"], "object": "model", "created": 0, "owned_by": "fake"}
        return web.json_response(model)

    def _served(self, operation: str, handler: _Handler) -> _Handler:
        async def serve(request: web.Request) -> web.StreamResponse:
            body = await request.json() if request.can_read_body else {}
            self.counts[operation] += 1
            headers = {name.lower(): value for name, value in request.headers.items()}
            peer = request.transport.get_extra_info("peername") if request.transport else None
            status = 0
            try:
                response = await self._answer(operation, handler, request)
                status = response.status
            finally:
                port = peer[1] if peer else 0
                self.calls.append(Call(operation, request.path_qs, headers, body, status, port))
            return response

        return serve

    async def _answer(self, operation: str, handler: _Handler, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.latency_s)
        planned = next((each for each in self._planned if each.on in (None, operation)), None)
        if planned is not None:
            self._planned.remove(planned)
            if planned.after:
                await handler(request)
            if planned.fault in REFUSALS:
                return await refuse(planned, request)
            if planned.fault == "hang":
                await asyncio.Event().wait()
            if planned.fault == "html":
                return web.Response(text="<html>Sign in</html>", content_type="text/html")
            streamed = (await request.json()).get("stream") if request.can_read_body else False
            if planned.fault == "reset" and not streamed:
                abort(request)
                return web.Response()
            request[_FAULT] = planned.fault
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response({"error": refused.error}, status=refused.status)

    async def _list_agents(self, request: web.Request) -> web.Response:
        kind = request.query.get("kind")
        bodies = [agent.body() for agent in self.project.agents.values()]
        kept = [body for body in bodies if kind in (None, "prompt") or not body["versions"]["latest"]]
        return web.json_response(page(kept, dict(request.query)))

    async def _get_agent(self, request: web.Request) -> web.Response:
        return web.json_response(self.project.agent(request.match_info["name"]).body())

    async def _delete_agent(self, request: web.Request) -> web.Response:
        name = self.project.agent(request.match_info["name"]).name
        del self.project.agents[name]
        return web.json_response({"object": "agent.deleted", "name": name, "deleted": True})

    async def _create_version(self, request: web.Request) -> web.Response:
        return web.json_response(self.project.create_version(request.match_info["name"], await request.json()))

    async def _list_versions(self, request: web.Request) -> web.Response:
        versions = self.project.agent(request.match_info["name"]).versions.values()
        drafts = request.query.get("include_drafts", "").lower() == "true"
        kept = [version for version in versions if drafts or not version["draft"]]
        return web.json_response(page(kept, dict(request.query)))

    async def _get_version(self, request: web.Request) -> web.Response:
        return web.json_response(self.project.version(request.match_info["name"], request.match_info["version"]))

    async def _delete_version(self, request: web.Request) -> web.Response:
        name, version = request.match_info["name"], request.match_info["version"]
        self.project.delete_version(name, version)
        deleted = {"object": "agent.version.deleted", "name": name, "version": version, "deleted": True}
        return web.json_response(deleted)

    async def _switch(self, request: web.Request) -> web.Response:
        self.project.agent(request.match_info["name"]).enabled = request.path.endswith(":enable")
        return web.Response(status=204)

    async def _create_conversation(self, request: web.Request) -> web.Response:
        return web.json_response(self.project.create_conversation(await request.json()))

    async def _get_conversation(self, request: web.Request) -> web.Response:
        return web.json_response(self.project.conversation(request.match_info["id"]))

    async def _delete_conversation(self, request: web.Request) -> web.Response:
        name = self.project.conversation(request.match_info["id"])["id"]
        del self.project.conversations[name]
        return web.json_response({"id": name, "object": "conversation.deleted", "deleted": True})

    async def _create_response(self, request: web.Request) -> web.StreamResponse:
        body, fault = await request.json(), request.get(_FAULT)
        response, keep = self.project.create_response(body)
        if fault == "answer_filtered":
            response |= {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        if fault == "failed":
            response |= {"status": "failed", "output": [], "error": {"code": "server_error", "message": "it broke"}}
        if self._usages:
            response["usage"] = self._usages.popleft()
            if response["usage"] is ABSENT:
                del response["usage"]
        if body.get("stream"):
            return await stream(request, response, keep, fault)
        keep()
        return web.json_response(response)

    async def _told(self, request: web.Request) -> web.Response:
        given = await request.json()
        match request.match_info["what"]:
            case "fail":
                self.fail_next(**given)
            case "edit":
                changes = given.get("changes", {})
                self.project.edit_in_portal(given["name"], keep_metadata=given.get("keep_metadata", False), **changes)
            case "delete":
                if version := given.get("version"):
                    self.project.delete_version(given["name"], version)
                else:
                    del self.project.agents[given["name"]]
            case "latency":
                self.latency_s = given["seconds"]
            case _:
                return web.Response(status=404)
        return web.Response(status=204)

    async def _shown(self, request: web.Request) -> web.Response:
        versions = [version for agent in self.project.agents.values() for version in agent.versions.values()]
        shown: dict[str, Any] = {
            "calls": [asdict(call) for call in self.calls],
            "counts": self.counts,
            "versions": versions,
            "conversations": self.project.conversations,
        }
        what = request.match_info["what"]
        return web.json_response(shown[what]) if what in shown else web.Response(status=404)


async def _serve(port: int, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeFoundry(port=port) as fake:
        print(fake.endpoint, flush=True)
        if ready_file is not None:
            ready_file.write_text(fake.endpoint, encoding="utf-8")  # noqa: ASYNC240 - nothing is served yet
        await stop.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A fake Foundry project endpoint on 127.0.0.1.")
    arguments.add_argument("--port", type=int, default=0, help="0 for any free port")
    arguments.add_argument("--ready-file", type=Path, help="where to write the endpoint once it listens")
    given = arguments.parse_args()
    asyncio.run(_serve(given.port, given.ready_file))
