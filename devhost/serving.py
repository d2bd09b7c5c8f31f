"""Serving an aiohttp application on an already bound socket, and protecting its webhooks."""

import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from devhost.http_trigger import authorised
from devhost.keys import Keys

#: Path of the Durable extension's webhooks.
WEBHOOKS = "/runtime/webhooks/durabletask"


async def serve(app: web.Application, listener: socket.socket) -> web.AppRunner:
    """Serve an application on a bound socket."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


def guard_webhooks(keys: Keys) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that requires the master key below the webhooks' path."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith(WEBHOOKS) and not authorised(keys, request, "ADMIN", None):
            return web.Response(status=401)
        return await handler(request)

    return guard
