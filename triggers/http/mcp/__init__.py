"""The MCP server: agents as tools, sessions as resources, templates as prompts (modelcontextprotocol.io)."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "POST",
        "mcp",
        "mcp",
        "Call agents with the Model Context Protocol: streamable HTTP, stateless, one JSON-RPC message per request.",
        mimetype="application/json",
        formats=("text/event-stream",),
        also=202,
        errors=(413, 415),
        signals=True,
        problems="triggers.http.jsonrpc",
    ),
)
