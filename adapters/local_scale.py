"""The scale of the app on the local host: how many worker processes `devhost` has, through its own address for that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError, Conflict, Unavailable
from llmops.capacity.scaling_forecast import FUNCTION, LOCAL, SiteScale

if TYPE_CHECKING:
    from llmops.capacity.scaling_forecast import Platform

_LOAD_S = 60.0


class LocalScale:
    """Reads and changes how many processes run the app's functions."""

    platform: Platform = LOCAL

    def __init__(self, address: str) -> None:
        """Take the address that the local host said when it started."""
        self._address = address

    async def read(self) -> SiteScale:
        """Return how many processes there are, all of which are always ready."""
        return _scale(await self._ask("GET"))

    async def write(self, scale: SiteScale) -> SiteScale:
        """Have as many processes as there are to be instances at most; surplus ones end once their runs have."""
        return _scale(await self._ask("PUT", {"workers": scale.maximum_instances}))

    async def _ask(self, method: str, body: Any = None) -> Any:
        import aiohttp  # noqa: PLC0415 - cold start

        timeout = aiohttp.ClientTimeout(total=_LOAD_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, self._address, json=body, allow_redirects=False) as response,
            ):
                text = await response.text()
                found = json.loads(text) if response.content_type == "application/json" else {}
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            msg = "No devhost answers at the address of SCALING_SITE; start one with --workers 2 or more."
            raise Unavailable(msg, code="scaling_unavailable", retry_after_s=60) from error
        if response.status == 200 and isinstance(found.get("workers"), int):
            return found
        raise _refused(response.status, found.get("error") or {})


def _scale(found: Any) -> SiteScale:
    return SiteScale({FUNCTION: found["workers"]}, found["workers"], memory_mb=0)


def _refused(status: int, error: Any) -> AppError:
    message = str(error.get("message") or "")[:300]
    if status == 503:
        return Unavailable(message, code="scaling_pending", retry_after_s=10)
    if error.get("code") == "one_process":
        return Conflict(message, code="scaling_not_supported")
    if not message:
        msg = "What answers where SCALING_SITE says the local host is, is not devhost."
        return Conflict(msg, code="scaling_not_supported")
    return Conflict(message, code="scaling_refused")
