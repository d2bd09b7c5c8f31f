"""Response models of the MCP server, where the protocol's SDK does not define them."""

from __future__ import annotations

from typing import Any, Literal

from triggers.http.base_models import View


class JsonRpcErrorObject(View):
    """The error; `data` may have the app's own `code`."""

    code: int
    message: str
    data: Any = None


class JsonRpcErrorView(View):
    """A JSON-RPC error; `id` is that of the request, null where it could not be read."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    error: JsonRpcErrorObject
