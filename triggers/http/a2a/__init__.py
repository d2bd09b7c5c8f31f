"""Agents for other agents: the Agent2Agent protocol (a2a-protocol.org), an address for each agent."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "a2a/{name}/.well-known/agent-card.json",
        "a2a_card",
        "Get an agent's card: what it is for, and how it is asked with the Agent2Agent protocol.",
        mimetype="application/json",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "a2a/{name}",
        "a2a",
        "Speak the Agent2Agent protocol, 1.0 and 0.3, with an agent: one JSON-RPC message a request.",
        mimetype="application/json",
        formats=("text/event-stream",),
        errors=(404, 413, 415),
        signals=True,
        problems="triggers.http.jsonrpc",
    ),
)
