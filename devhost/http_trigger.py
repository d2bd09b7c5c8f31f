"""The HTTP trigger: converts an aiohttp request to the host's datum, and the function's datum to the response."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from aiohttp import web
from azure.functions.meta import Datum

from devhost import datums, http_extension
from devhost.index import Function
from devhost.invoke import Dispatcher
from devhost.keys import Keys
from devhost.routes import RouteTable

#: Bytes: the largest request body the Functions host takes.
MAX_BODY = 100 * 1024 * 1024
# The server computes these headers itself; a function's own values could contradict it.
_HOP_HEADERS = {"content-length", "transfer-encoding", "connection", "keep-alive"}


class HttpTrigger:
    """Serves the HTTP-triggered functions of an app."""

    def __init__(self, functions: Iterable[Function], prefix: str, invoker: Dispatcher, keys: Keys | None) -> None:
        """Build the route table.

        Args:
            functions: The HTTP-triggered functions.
            prefix: `routePrefix` of host.json, may be empty.
            invoker: Runs them.
            keys: Keys to enforce; None lets every request pass, as Core Tools does.

        Raises:
            ValueError: A route is malformed.
        """
        self._routes = RouteTable((full_route(function, prefix), methods(function), function) for function in functions)
        self._invoker = invoker
        self._keys = keys

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a route that exists for other methods only gives 404, as in production."""
        found = self._routes.match(request.method, request.rel_url.raw_path)
        if found is None:
            at_home = request.method == "GET" and request.path == "/"
            return web.Response(text="The function app is up and running.") if at_home else web.Response(status=404)
        function, params = found
        level = str(function.trigger.get("authLevel") or "FUNCTION")
        if self._keys and not authorised(self._keys, request, level, function.name):
            return web.Response(status=401)
        body = await request.read()
        datum = datums.http(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.rel_url.raw_path}{_question(request)}",
            headers=request.headers.items(),
            query=parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True),
            params=params,
            body=body,
        )
        outcome = await self._invoker.invoke(
            function,
            datum,
            trace_parent=request.headers.get("traceparent"),
            trace_state=request.headers.get("tracestate", ""),
            about=f"{request.method} {request.rel_url.raw_path}",
        )
        if outcome.stream is not None:
            return await http_extension.sent(outcome.stream, request)
        return web.Response(status=500) if outcome.error else to_response(outcome.response)


def full_route(function: Function, prefix: str) -> str:
    """Return the route under the app's prefix, without a leading slash."""
    route = function.trigger.get("route")
    return "/".join(part for part in (prefix, (function.name if route is None else route).strip("/")) if part)


def methods(function: Function) -> frozenset[str]:
    """Return the HTTP methods in upper case; empty for all."""
    return frozenset(str(method).upper() for method in function.trigger.get("methods") or ())


def authorised(keys: Keys, request: web.Request, level: str, function: str | None) -> bool:
    """Return whether a request's key is sufficient for a level; function None means the host's own routes."""
    return keys.allow(level, function, request.headers.get("x-functions-key"), request.query.get("code"))


def to_response(value: Datum | None) -> web.Response:
    """Return the response for a function's encoded value; 204 without a value."""
    if value is None or value.type is None:
        return web.Response(status=204)
    if value.type != "http":
        return web.Response(text=value.value)
    parts = value.value
    response = web.Response(status=int(parts["status_code"].value), body=parts["body"].value)
    for name, header in parts["headers"].items():
        if name.lower() not in _HOP_HEADERS:
            response.headers[name] = header.value
    for cookie in parts["cookies"] or ():
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response


def _question(request: web.Request) -> str:
    query = request.rel_url.raw_query_string
    return f"?{query}" if query else ""
