"""Agents for user interfaces: the AG-UI protocol (docs.ag-ui.com), with one address for each agent."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "POST",
        "agui/{name}",
        "agui",
        "Call an agent with the AG-UI protocol: a run's events, with approvals as interrupts.",
        body="RunInput",
        mimetype="text/event-stream",
        errors=(404, 409, 413),
        signals=True,
    ),
)
