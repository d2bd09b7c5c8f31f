"""How many worker processes there are: `GET` and `PUT /workers` at the port of Durable calls, on this machine only."""

import json
from typing import TYPE_CHECKING

from aiohttp import web

from devhost.errors import StartupError
from devhost.settings import MAX_WORKERS

if TYPE_CHECKING:
    from devhost.workers.pool import WorkerPool


class WorkerControl:
    """Answers how many worker processes there are, and has more or fewer."""

    def __init__(self, pool: "WorkerPool | None") -> None:
        """Take the processes; None where the functions run in the host's own, whose number is not changed."""
        self._pool = pool

    def add_routes(self, router: web.UrlDispatcher, path: str) -> None:
        """Add the routes to an application."""
        router.add_get(path, self._get)
        router.add_put(path, self._put)

    async def _get(self, _request: web.Request) -> web.Response:
        return self._answer()

    async def _put(self, request: web.Request) -> web.Response:
        from devhost.workers.pool import BusyError  # noqa: PLC0415 - few use it

        if self._pool is None:
            message = "The functions run in the host's own process; start it with --workers 2 or more."
            return _refused(409, "one_process", message)
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        count = body.get("workers") if isinstance(body, dict) else None
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_WORKERS:
            return _refused(400, "bad_count", f"workers is a whole number from 1 to {MAX_WORKERS}.")
        try:
            await self._pool.resize(count)
        except BusyError as error:
            return _refused(503, "busy", str(error))
        except StartupError as error:
            return _refused(500, "not_started", str(error))
        return self._answer()

    def _answer(self) -> web.Response:
        count = self._pool.count if self._pool is not None else 1
        return web.json_response({"workers": count, "most": MAX_WORKERS})


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
