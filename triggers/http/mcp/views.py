"""What the MCP server answers where the protocol's SDK does not."""

from __future__ import annotations

from typing import Any, Literal

from triggers.http.views import View


class JsonRpcErrorObject(View):
    """What went wrong; `data` may have our own `code`."""

    code: int
    message: str
    data: Any = None


class JsonRpcErrorView(View):
    """An error of JSON-RPC; `id` is that of the request, null where there was none to read."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    error: JsonRpcErrorObject
