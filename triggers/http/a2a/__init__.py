"""Agents for other agents: the Agent2Agent protocol (a2a-protocol.org), with one address for each agent."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "a2a/{name}/.well-known/agent-card.json",
        "a2a_card",
        "Get an agent's card: what it does, and how to call it with the Agent2Agent protocol.",
        mimetype="application/json",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "a2a/{name}",
        "a2a",
        "Call an agent with the Agent2Agent protocol, 1.0 or 0.3: one JSON-RPC message per request.",
        mimetype="application/json",
        formats=("text/event-stream",),
        errors=(404, 413, 415),
        signals=True,
        problems="triggers.http.jsonrpc",
    ),
)
