"""What the tests of the edge share."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from bootstrap.services import Services
from devhost.context import Context, RetryContext, TraceContext, child_trace_parent
from kernel.clock import Clock
from kernel.settings import Settings
from kernel.tables import Tables
from tests.lifecycle.doubles import MemoryQueue
from triggers.http.request_handling import Api


@pytest.fixture
def settings() -> Settings:
    """Return settings that name emulators nobody connects to."""
    storage = "AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a;"
    bus = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true"
    return Settings.from_environment({"TablesConnection": storage, "ServiceBusConnection": bus})


def request(
    body: bytes | Any = b"",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    route: dict[str, str] | None = None,
    url: str = "/api/x",
) -> func.HttpRequest:
    """Return a request as the host makes it; a body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return func.HttpRequest(
        method=method,
        url=url,
        headers={"Content-Type": "application/json"} | (headers or {}),
        params=params or {},
        route_params=route or {},
        body=content,
    )


def context(trace_parent: str | None = None) -> Context:
    """Return an invocation's context as the host makes it."""
    return Context("x", "", "1", TraceContext(child_trace_parent(trace_parent)), RetryContext())


class Edge:
    """The functions of some resources, over services in memory."""

    def __init__(
        self,
        *packages: ModuleType,
        settings: Settings | None = None,
        queue: Any = None,
        tables: Tables | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        used = settings or Settings()
        self.services = Services.in_memory(used) if tables is None else Services(tables, used, clock)
        self.signals = self.services.agents.local_signals()
        self.api = Api(
            self.services.core.settings, self.services, queue or MemoryQueue(), lambda _: self.signals, packages
        )
        made: Any = self.api.blueprint()
        built = [builder._function for builder in made._function_builders]
        self._functions = {each.get_function_name(): each for each in built}
        self.names = list(self._functions)

    async def __call__(
        self, function: str, asked: func.HttpRequest, trace_parent: str | None = None
    ) -> func.HttpResponse:
        """Invoke a function as the worker does."""
        found = self._functions[function]
        signals = any(each.type == "durableClient" for each in found.get_bindings())
        given = {"client": CLIENT} if signals else {}
        return await found.get_user_function()(asked, context=context(trace_parent), **given)


CLIENT = json.dumps({"taskHubName": "x", "creationUrls": {}, "managementUrls": {"id": "x"}, "baseUrl": "http://x"})
"""A Durable client as the host passes it; the actors are in this process here, and nobody calls it."""


def resource(name: str, endpoints: Any, handlers: Any, views: Any = None) -> ModuleType:
    """Return a package of a test's own that declares endpoints; its handlers and models are attributes by name."""
    package = ModuleType(name)
    package.ENDPOINTS = tuple(endpoints)  # pyright: ignore[reportAttributeAccessIssue]
    for part, values in (("handlers", handlers), ("views", views or {})):
        module = ModuleType(f"{name}.{part}")
        vars(module).update(values)
        sys.modules[module.__name__] = module
    sys.modules[name] = package
    return package
