"""The MCP server: agents as tools, sessions as resources, templates as prompts (modelcontextprotocol.io)."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "POST",
        "mcp",
        "mcp",
        "Speak the Model Context Protocol: streamable HTTP without sessions, one JSON-RPC message a request.",
        mimetype="application/json",
        formats=("text/event-stream",),
        also=202,
        errors=(413, 415),
        signals=True,
        problems="triggers.http.jsonrpc",
    ),
)
