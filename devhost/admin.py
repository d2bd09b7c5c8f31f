"""The host's own routes under /admin: its status, its functions, and running a function now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from devhost.http_trigger import authorised
from devhost.index import ENTITY, HTTP, Function
from devhost.keys import Keys

Runner = Callable[[str], Awaitable[None]]
_log = logging.getLogger("devhost.admin")


class Admin:
    """Answers /admin requests; with keys enforced they need the master key."""

    def __init__(self, functions: Mapping[str, Function], runners: Mapping[str, Runner], keys: Keys | None) -> None:
        """Set the functions by lower-cased name, and for each that can be run now the callable that does so."""
        self._functions = functions
        self._runners = runners
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to an application."""
        router.add_get("/admin/host/status", self._guarded(self._status))
        router.add_get("/admin/functions", self._guarded(self._list))
        router.add_post("/admin/functions/{name}", self._guarded(self._run))

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            if self._keys and not authorised(self._keys, request, "ADMIN", None):
                return web.Response(status=401)
            return await handler(request)

        return guarded

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"id": "devhost", "state": "Running", "version": "4.0", "functions": len(self._functions)}
        )

    async def _list(self, _request: web.Request) -> web.Response:
        rows = [{"name": item.name, "config": {"bindings": list(item.bindings)}} for item in self._functions.values()]
        return web.json_response(rows)

    async def _run(self, request: web.Request) -> web.Response:
        function = self._functions.get(request.match_info["name"].lower())
        if function is None:
            return web.Response(status=404)
        runner = self._runners.get(function.name)
        if runner is None:
            return web.Response(status=400, text=_refusal(function))
        try:
            text = await _input(request)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        task = asyncio.create_task(_run_logged(function.name, runner, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(status=202)


async def _run_logged(name: str, runner: Runner, text: str) -> None:
    try:
        await runner(text)
    except ValueError as error:
        _log.error("%s could not be run now: %s", name, error)


async def _input(request: web.Request) -> str:
    """Return `input` of the body; "" if there is none."""
    if not await request.read():
        return ""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ValueError('The body must be a JSON object such as {"input": ""}')  # noqa: TRY004 - a bad request, not a bug
    value = body.get("input") or ""
    return value if isinstance(value, str) else str(value)


def _refusal(function: Function) -> str:
    if function.type == HTTP:
        return f"'{function.name}' has an HTTP trigger: call its own URL."
    if function.type == ENTITY:
        route = "POST /runtime/webhooks/durabletask/entities/<name>/<key>?op=<operation>"
        return f"'{function.name}' is an entity: signal it through {route}."
    return f"'{function.name}' is disabled."
