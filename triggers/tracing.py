"""The trace context of an invocation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import azure.functions as func
from opentelemetry.context import Context

from kernel.tracing import parent_of


def incoming(headers: Mapping[str, Any], context: func.Context) -> Context:
    """Return the trace context that an invocation continues.

    Args:
        headers: A request's headers, or a message's application properties; older senders of messages use
            `Diagnostic-Id`.
        context: The invocation's context, with the host's own span.
    """
    sent = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    host = context.trace_context
    return parent_of(
        {
            "traceparent": sent.get("traceparent") or sent.get("diagnostic-id", ""),
            "tracestate": sent.get("tracestate", ""),
        },
        {"traceparent": host.trace_parent or "", "tracestate": host.trace_state or ""},
    )
