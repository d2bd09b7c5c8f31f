"""The scale of a Function App on Flex Consumption, through Azure Resource Manager (api-version 2024-04-01).

The site is read, its `functionAppConfig.scaleAndConcurrency` changed, and the whole written back, so that nothing
depends on how a PATCH is merged. The response may be 202 with the URL of an operation to poll.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kernel.errors import AppError, Conflict, Forbidden, NotFound, Unavailable
from llmops.capacity.scaling_forecast import FLEX, SiteScale

if TYPE_CHECKING:
    from azure.core import AsyncPipelineClient
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.rest import AsyncHttpResponse, HttpRequest

    from llmops.capacity.scaling_forecast import Platform

SITE = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/(?P<group>[\w().-]{1,90})/providers/Microsoft\.Web/sites/(?P<name>[\w-]{2,60})",
    re.IGNORECASE,
)
"""Pattern of a Function App's resource id."""
API_VERSION = "2024-04-01"
_SCOPE = "https://management.azure.com/.default"
_LONGEST_WAIT_S = 120.0


class AzureScale:
    """Reads and changes how one app is scaled."""

    platform: Platform = FLEX

    def __init__(self, site: str, endpoint: str, credential: AsyncTokenCredential) -> None:
        """Set the app.

        Args:
            site: The app's resource id.
            endpoint: Azure Resource Manager, for example https://management.azure.com; plain http only on this machine.
            credential: The credential; the caller closes it.
        """
        self._site = site
        self._endpoint = endpoint.rstrip("/")
        self._credential = credential
        self._made: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] | None = None

    async def read(self) -> SiteScale:
        """Return the current scale."""
        return _scale(_config(await self._ask("GET")))

    async def write(self, scale: SiteScale) -> SiteScale:
        """Set the scale, wait until it is in effect, and return the new scale."""
        config = _config(await self._ask("GET"))
        before: dict[str, Any] = dict(config.get("scaleAndConcurrency") or {})
        before["maximumInstanceCount"] = scale.maximum_instances
        before["alwaysReady"] = [
            {"name": name, "instanceCount": count} for name, count in sorted(scale.always_ready.items())
        ]
        if scale.http_concurrency is not None:
            before["triggers"] = {"http": {"perInstanceConcurrency": scale.http_concurrency}}
        await self._ask("PATCH", {"properties": {"functionAppConfig": {**config, "scaleAndConcurrency": before}}})
        return await self.read()

    async def aclose(self) -> None:
        """Close connections."""
        if self._made is not None:
            await self._made.close()
            self._made = None

    async def _ask(self, method: str, body: Any = None) -> Any:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - cold start
        from azure.core.rest import HttpRequest  # noqa: PLC0415

        url = f"{self._endpoint}{self._site}?api-version={API_VERSION}"
        try:
            response = await self._send(HttpRequest(method, url, json=body))
            if response.status_code == 202:
                response = await self._done(response)
            if response.status_code >= 400:
                raise _refused(response)
            return response.json() if response.content else {}
        except AzureError as error:
            msg = f"Azure Resource Manager could not be asked: {type(error).__name__}."
            raise Unavailable(msg, code="scaling_unavailable") from error

    async def _done(self, response: AsyncHttpResponse) -> AsyncHttpResponse:
        """Wait for an accepted operation to end, and return its last response."""
        from azure.core.rest import HttpRequest  # noqa: PLC0415 - cold start

        where = response.headers.get("Azure-AsyncOperation") or response.headers.get("Location")
        give_up = asyncio.get_running_loop().time() + _LONGEST_WAIT_S
        while where is not None and asyncio.get_running_loop().time() < give_up:
            if urlsplit(where).netloc != urlsplit(self._endpoint).netloc:
                break  # the token is sent to no other origin
            await asyncio.sleep(min(float(response.headers.get("Retry-After") or 1), 15.0))
            response = await self._send(HttpRequest("GET", where))
            state = str((response.json() if response.content else {}).get("status", "")).lower()
            if response.status_code != 202 and state not in ("running", "inprogress", "accepted"):
                if state in ("failed", "canceled"):
                    raise Conflict("The platform did not scale the app.", code="scaling_failed")
                return response
        raise Unavailable("The platform is still scaling; check again later.", code="scaling_pending", retry_after_s=60)

    async def _send(self, request: HttpRequest) -> AsyncHttpResponse:
        local = urlsplit(self._endpoint).hostname in ("127.0.0.1", "localhost")
        # The token is sent without TLS only on this machine.
        return await self._client().send_request(request, enforce_https=not local)

    def _client(self) -> AsyncPipelineClient[HttpRequest, AsyncHttpResponse]:
        if self._made is None:
            from azure.core import AsyncPipelineClient  # noqa: PLC0415 - cold start
            from azure.core.pipeline.policies import (  # noqa: PLC0415
                AsyncBearerTokenCredentialPolicy,
                AsyncRetryPolicy,
                UserAgentPolicy,
            )

            identity = AsyncBearerTokenCredentialPolicy(self._credential, _SCOPE)
            retries = AsyncRetryPolicy(retry_total=3, retry_backoff_factor=0.5, retry_backoff_max=10)
            policies = [UserAgentPolicy("agent-lifecycle"), retries, identity]
            self._made = AsyncPipelineClient(base_url=self._endpoint, policies=policies)
        return self._made


def _config(site: Any) -> dict[str, Any]:
    config = (site.get("properties") or {}).get("functionAppConfig")
    if not isinstance(config, dict):
        msg = "The site has no functionAppConfig: it is not a Function App on Flex Consumption."
        raise Conflict(msg, code="scaling_not_supported")
    return config


def _scale(config: dict[str, Any]) -> SiteScale:
    found = config.get("scaleAndConcurrency") or {}
    http = ((found.get("triggers") or {}).get("http") or {}).get("perInstanceConcurrency")
    ready = {one["name"]: int(one["instanceCount"]) for one in found.get("alwaysReady") or ()}
    memory = int(found.get("instanceMemoryMB") or 2048)
    return SiteScale(ready, int(found.get("maximumInstanceCount") or 0), None if http is None else int(http), memory)


def _refused(response: AsyncHttpResponse) -> AppError:
    """Return the error of a response; of the platform's text only the error code, which is stable."""
    try:
        code = str((response.json().get("error") or {}).get("code", ""))[:100]
    except ValueError:
        code = ""
    message = f"The platform answered {response.status_code} {re.sub(r'[^A-Za-z0-9]', '', code)}."
    match response.status_code:
        case 401 | 403:
            return Forbidden(message + " The app's identity lacks the role for it.", code="scaling_forbidden")
        case 404:
            return NotFound(message, code="scaling_site_not_found")
        case 429 | 500 | 502 | 503 | 504:
            return Unavailable(message, code="scaling_unavailable", retry_after_s=60)
        case _:
            return Conflict(message, code="scaling_refused")
