"""A fake of Azure Resource Manager: one Function App on Flex Consumption, which refuses what the real one refuses."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from aiohttp import web

SITE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-agents"
    "/providers/Microsoft.Web/sites/func-agents"
)
TOKEN = "arm-token"
READER = "reader-token"
FUNCTIONS = ("run_agent", "run_agent_priority")
_GROUPS = ("http", "blob", "durable")


def _error(status: int, code: str, **headers: str) -> web.Response:
    body = {"error": {"code": code, "message": "The secret reason, with a subscription id."}}
    return web.json_response(body, status=status, headers=headers)


class FakeArm:
    """The server.

    Attributes:
        endpoint: Where it is.
        config: The app's `functionAppConfig`.
        patches: What was written.
        failures: Statuses that the next requests are answered with.
        pending: How often an accepted change is still running when it is asked for; None for changes done at once.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.config: dict[str, Any] = {
            "runtime": {"name": "python", "version": "3.13"},
            "deployment": {"storage": {"type": "blobContainer", "value": "https://x.blob.core.windows.net/app"}},
            "scaleAndConcurrency": {
                "instanceMemoryMB": 2048,
                "maximumInstanceCount": 40,
                "alwaysReady": [{"name": "http", "instanceCount": 1}],
                "triggers": {"http": {"perInstanceConcurrency": 16}},
            },
        }
        self.patches: list[Any] = []
        self.failures: deque[int] = deque()
        self.pending: int | None = None
        self._asked = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to serve on a free port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.endpoint = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Serve no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READER):
            return _error(401, "InvalidAuthenticationToken")
        if self.failures:
            return _error(self.failures.popleft(), "Throttled", **{"Retry-After": "0"})
        if request.path.startswith("/operations/"):
            return self._operation()
        if request.query.get("api-version") != "2024-04-01":
            return _error(400, "InvalidApiVersionParameter")
        if request.path.lower() != SITE.lower():
            return _error(404, "ResourceNotFound")
        if request.method == "GET":
            return web.json_response({"id": SITE, "properties": {"functionAppConfig": self.config}})
        if request.method != "PATCH":
            return _error(405, "MethodNotAllowed")
        if token == READER:
            return _error(403, "AuthorizationFailed")
        return self._patch(await request.json())

    def _patch(self, body: Any) -> web.Response:
        config = body["properties"]["functionAppConfig"]
        if {"runtime", "deployment", "scaleAndConcurrency"} - config.keys():
            return _error(400, "BadRequest")  # stricter than the real one may be: a part could reset the rest
        scale = config["scaleAndConcurrency"]
        most = scale.get("maximumInstanceCount", 0)
        ready = scale.get("alwaysReady") or []
        names = [one["name"] for one in ready]
        known = {*_GROUPS, *(f"function:{name}" for name in FUNCTIONS)}
        http = ((scale.get("triggers") or {}).get("http") or {}).get("perInstanceConcurrency", 1)
        wrong = (
            not 40 <= most <= 1000
            or scale.get("instanceMemoryMB") not in (512, 2048, 4096)
            or not 1 <= http <= 1000
            or len(set(names)) < len(names)
            or not set(names) <= known
            or any(not 0 <= one["instanceCount"] <= most for one in ready)
        )
        if wrong:
            return _error(400, "BadRequest")
        self.patches.append(copy.deepcopy(scale))
        self.config = config
        if self.pending is None:
            return web.json_response({"id": SITE, "properties": {"functionAppConfig": config}})
        self._asked = 0
        headers = {"Location": f"{self.endpoint}/operations/1", "Retry-After": "0"}
        return web.Response(status=202, headers=headers)

    def _operation(self) -> web.Response:
        self._asked += 1
        if self.pending is not None and self._asked <= self.pending:
            return web.Response(status=202, headers={"Location": f"{self.endpoint}/operations/1", "Retry-After": "0"})
        return web.json_response({"status": "Succeeded"})
