"""MCP servers over streamable HTTP on 127.0.0.1, each a process of its own: the official SDK's, and a hostile one.

    python tests/fakes/mcp_server.py --ready-file F [--port N] [--mode MODE] [--log L] [--key K] [--tls CERTIFICATE]

It writes its URL to F once it listens, and to L a line of JSON for each tool call that took effect. Modes: `stateful`
(sessions, of the protocol before 2026), `closing` (the same, but each ends with its first call, and so does the
connection), `stateless` (no sessions, plain JSON), `modern` (what the SDK does by itself) and `hostile`, whose paths
each misbehave in their own way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "agent-lifecycle/idempotency-key"


def official(log: Path | None, mode: str, key: str) -> Any:
    server = MCPServer("orders")

    def note(tool: str, context: Context[Any, Any], **more: Any) -> None:
        if log is not None:
            meta: Any = context.request_context.meta or {}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"tool": tool, "key": meta.get(KEY), "pid": os.getpid(), **more}) + "\n")

    @server.tool()
    async def add(a: int, b: int, context: Context) -> int:
        """Add two numbers."""
        note("add", context)
        return a + b

    @server.tool()
    async def book(item: str, tool_name: str, context: Context) -> str:
        """Book an item; not to be done twice."""
        note("book", context, item=item)
        if item == "die":
            os._exit(1)
        if item == "hang":
            await asyncio.sleep(3600)
        return f"booked {item} for {tool_name}"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def look(marker: str, context: Context) -> str:
        """Look something up; dies once if its marker is a file that is not there yet."""
        note("look", context)
        if marker and not Path(marker).exists():  # noqa: ASYNC240 - it dies of it
            Path(marker).touch()  # noqa: ASYNC240
            os._exit(1)
        return "found"

    @server.tool()
    async def fail() -> str:
        """Fail."""
        raise ValueError("internal secret hunter2")

    @server.tool()
    async def much(size: int) -> str:
        """Return so many characters."""
        return "x" * size

    @server.tool()
    async def whoami(context: Context) -> str:
        """Tell the key that came with the request."""
        return (context.headers or {}).get("x-key", "nobody")

    @server.tool()
    async def evolve(context: Context) -> str:
        """Change the schema of `add`, and say so."""
        server.remove_tool("add")

        @server.tool(name="add")
        async def added(a: int, b: int, c: int = 0) -> int:
            """Add three numbers."""
            return a + b + c

        await context.notify_tools_changed()
        await context.session.send_tool_list_changed()
        return "changed"

    app = server.streamable_http_app(stateless_http=mode == "stateless", json_response=mode == "stateless")
    return guarded(app, before_2026=mode != "modern", key=key, closing=mode == "closing")


def guarded(app: Any, *, before_2026: bool, key: str, closing: bool) -> Any:
    """Return the app behind a check of a key; without what servers before 2026 did not know, and closing, if asked."""
    over: set[str] = set()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = Request(scope, receive)
        if key and request.headers.get("x-key") != key:
            await PlainTextResponse("no", 401)(scope, receive, send)
            return
        body = await request.body()
        if before_2026 and b'"server/discover"' in body:
            said = {"code": -32601, "message": "Method not found"}
            await JSONResponse({"jsonrpc": "2.0", "id": json.loads(body)["id"], "error": said})(scope, receive, send)
            return
        session = request.headers.get("mcp-session-id", "")
        if closing and session in over:
            error = {"code": -32600, "message": "Session not found"}
            await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 404)(scope, receive, send)
            return
        sent = False

        async def last(message: Any) -> None:
            if message["type"] == "http.response.start":
                over.add(session)
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        async def again() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, again, last if closing and b'"tools/call"' in body else send)

    return asgi


def hostile() -> Any:  # noqa: C901 - many small ways
    def answering(tools: Any) -> Any:
        async def answer(request: Request) -> Response:
            if request.method != "POST":
                return Response(status_code=405)
            said = await request.json()
            method, ident = said.get("method"), said.get("id")
            if ident is None:
                return Response(status_code=202)
            if method == "initialize":
                result: Any = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "h", "version": "1"},
                }
            elif method == "tools/list":
                result = tools(said.get("params") or {})
            elif method == "tools/call":
                result = {"content": [{"type": "text", "text": "y" * 20_000_000}]}
            else:
                error = {"code": -32601, "message": "Method not found"}
                return JSONResponse({"jsonrpc": "2.0", "id": ident, "error": error})
            return JSONResponse({"jsonrpc": "2.0", "id": ident, "result": result})

        return answer

    def tool(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "description": "d" * 10_000, "inputSchema": {"type": "object"}, **more}

    async def hang(_: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def html(_: Request) -> Response:
        return Response("<html>Sign in</html>", media_type="text/html")

    async def redirect(request: Request) -> Response:
        return RedirectResponse("http://169.254.169.254/metadata", 307)

    async def endless(_: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"data: " + b"x" * 65_536 + b"\n"
                await asyncio.sleep(0.001)  # once its client has left, sending waits for nothing any more

        return StreamingResponse(pieces(), media_type="text/event-stream")

    def page(params: dict[str, Any]) -> dict[str, Any]:
        at = int(params.get("cursor", "0"))
        return {"tools": [tool(f"t{at}")], "nextCursor": str(at + 1)}

    lists = {
        "pages": page,
        "many": lambda _: {"tools": [tool(f"t{n}", description="d" * 5000) for n in range(1000)]},
        "same": lambda _: {"tools": [tool("a.b"), tool("a/b"), tool("ü" * 100)]},
        "huge": lambda _: {"tools": [tool("t", title="z" * 20_000_000)]},
        "nothing": lambda _: {"tools": "none"},
    }
    ways = {"hang": hang, "html": html, "redirect": redirect, "endless": endless}
    ways |= {name: answering(tools) for name, tools in lists.items()}
    return Starlette(routes=[Route(f"/{name}", way, methods=["GET", "POST", "DELETE"]) for name, way in ways.items()])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", default="stateful")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--key", default="")
    parser.add_argument("--tls", default="")
    wanted = parser.parse_args(arguments)
    app = hostile() if wanted.mode == "hostile" else official(wanted.log, wanted.mode, wanted.key)
    listening = socket.create_server(("127.0.0.1", wanted.port))
    tls = wanted.tls or None
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, ssl_certfile=tls))
    scheme = "https" if tls else "http"

    async def serve() -> None:
        path = "" if wanted.mode == "hostile" else "/mcp"
        wanted.ready_file.write_text(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}{path}", encoding="utf-8")
        await server.serve(sockets=[listening])

    asyncio.run(serve())


if __name__ == "__main__":
    main()
