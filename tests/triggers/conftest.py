"""What the tests of the edge share."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from devhost.context import Context, RetryContext, TraceContext, child_trace_parent
from kernel.settings import Settings


@pytest.fixture
def settings() -> Settings:
    """Return settings that name emulators nobody connects to."""
    storage = "AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a;"
    bus = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"
    return Settings.from_environment({"TablesConnection": storage, "ServiceBusConnection": bus})


def request(
    body: bytes | Any = b"",
    *,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    route: dict[str, str] | None = None,
) -> func.HttpRequest:
    """Return a request as the host makes it; a body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return func.HttpRequest(
        method="POST", url="/api/x", headers=headers or {}, params=params or {}, route_params=route or {}, body=content
    )


def context(trace_parent: str | None = None) -> Context:
    """Return an invocation's context as the host makes it."""
    return Context("x", "", "1", TraceContext(child_trace_parent(trace_parent)), RetryContext())
